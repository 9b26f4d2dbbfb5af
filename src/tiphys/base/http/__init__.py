"""HTTP/1.1 server and client on asyncio: messages, TLS, streams, upgraded connections, WebSocket and SPDY framing.

What may enter: wire protocols that know no Kubernetes kind. Start at `messages`, then `server` and `client`.
"""

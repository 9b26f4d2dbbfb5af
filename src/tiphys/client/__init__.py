"""How components talk to the apiserver: Client, Reflector, Informer, Lister, EventRecorder, leader election.

What may enter: transport and caching shared by controllers, and what they share (ownership, expectations); no policy.
"""

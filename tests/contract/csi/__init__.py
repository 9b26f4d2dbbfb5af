"""What the CSI client relies on, asked of a driver over a socket."""

"""Unknown and repeated fields: refused, told or passed over, as the request asks."""

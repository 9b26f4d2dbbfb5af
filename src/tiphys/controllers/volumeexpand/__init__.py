"""Says who is to make the volume of a claim that grew larger.

What may enter: claims that ask for more than they have. The growing is its provisioner's.
"""

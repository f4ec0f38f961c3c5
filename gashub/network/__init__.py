"""The pipe network: what lies in the ground, how gas flows through it, and what a closed valve cuts off."""

//! Goal: a producer one compatible version older or newer is understood. Method: its schema made from ours.

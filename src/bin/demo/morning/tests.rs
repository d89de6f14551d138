//! The audit must see what is wrong; an audit that sees nothing is worth nothing.

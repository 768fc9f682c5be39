//! What goes through the gateway, over real sockets: which tools are seen and can be called, and that everything else is
//! untouched. Refusals first.

mod called;

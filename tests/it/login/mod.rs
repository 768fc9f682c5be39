//! Signing in and out through a whole gateway, with a ClickUp behind it: what a program gets, what a browser sees, what is
//! left when somebody leaves, and what never shows anywhere.

mod account;
mod pages;

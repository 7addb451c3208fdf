//! Desired state, plan, apply and verify on the devices that the user has.

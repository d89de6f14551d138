//! Requests to HealthFlow, its answers, and what each fault calls for. Values only: [`encode()`] turns a
//! [`Request`] into an HTTP request as data, [`decode()`] an HTTP reply as data into a [`Reply`]; sockets live in `http`.
//! The contract is `schemas/healthflow.openapi.yaml`.

pub mod fault;
pub mod request;
pub mod pages;
pub mod reply;
pub mod encode;
pub mod decode;
pub mod wire;
pub mod limits_told;

pub use decode::decode;
pub use encode::encode;
pub use fault::Fault;
pub use limits_told::{LimitsTold, PolicyTold};
pub use reply::{Answer, AppointmentFound, AppointmentRead, Reply, WrittenAppointment};
pub use request::{AppointmentContent, AppointmentId, Operation, PatientContent, Request, Sought};

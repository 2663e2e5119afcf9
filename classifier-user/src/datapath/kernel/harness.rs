//! What tests and benchmarks need beside the product: the harness object's programs, and its maps.

use aya::programs::{ProgramError, SchedClassifier, TcAttachType, Xdp, xdp::XdpMode};

use super::{Kernel, attach::Attached, run::Runner};

/// The object with the product's programs and those of tests and benchmarks.
pub static OBJECT_HARNESS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/harness"));

/// A program of the harness that is not there or does not load.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// There is none of this name and type.
    #[error("the object has no program or map {0} of that type")]
    Missing(String),
    /// The kernel refused.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The program's descriptor.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Kernel {
    fn harness_xdp(&mut self, name: &str) -> Result<&mut Xdp, HarnessError> {
        let program = self.ebpf.program_mut(name).and_then(|program| <&mut Xdp>::try_from(program).ok());
        let program = program.ok_or_else(|| HarnessError::Missing(name.to_owned()))?;
        if program.fd().is_err() {
            program.load()?;
        }
        Ok(program)
    }

    /// Attaches an XDP program of the object, native; it stays until the result is dropped.
    ///
    /// # Errors
    /// [`HarnessError`].
    pub fn attach_xdp(&mut self, name: &str, interface: &str) -> Result<Attached, HarnessError> {
        let program = self.harness_xdp(name)?;
        let id = program.attach(interface, XdpMode::Driver)?;
        Ok(Attached::Xdp(program.take_link(id)?))
    }

    /// Attaches a TC program of the object at egress, until this datapath is dropped.
    ///
    /// # Errors
    /// [`HarnessError`].
    pub fn attach_classifier(&mut self, name: &str, interface: &str) -> Result<(), HarnessError> {
        let program =
            self.ebpf.program_mut(name).and_then(|program| <&mut SchedClassifier>::try_from(program).ok());
        let program = program.ok_or_else(|| HarnessError::Missing(name.to_owned()))?;
        program.load()?;
        program.attach(interface, TcAttachType::Egress)?;
        Ok(())
    }

    /// Runs frames through an XDP program of the object.
    ///
    /// # Errors
    /// [`HarnessError`].
    pub fn harness_runner(&mut self, name: &str) -> Result<Runner, HarnessError> {
        let program = self.harness_xdp(name)?;
        Ok(Runner::of(program.fd()?, &[])?)
    }

    /// Takes a map of the object out.
    ///
    /// # Errors
    /// [`HarnessError::Missing`].
    pub fn harness_map<T>(&mut self, name: &str) -> Result<T, HarnessError>
    where
        T: TryFrom<aya::maps::Map>,
    {
        let map = self.ebpf.take_map(name).ok_or_else(|| HarnessError::Missing(name.to_owned()))?;
        T::try_from(map).map_err(|_| HarnessError::Missing(name.to_owned()))
    }
}

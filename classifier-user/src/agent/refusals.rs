//! What a start would be refused for, besides interfaces and tables: found by trying it, without a trace.

use super::{AgentError, listeners::Bound, sessions::Doors};
use crate::{config::RunPlan, datapath::privileges::User, http::web::Web, table::groups::Groups};

/// Why a start would be refused.
#[derive(Debug)]
pub struct Refusal {
    /// The key of the configuration that it is about: `listen`, `public`, `web_config`, …
    pub about: &'static str,
    /// Why.
    pub why: AgentError,
}

/// Opens what the agent of this plan would open, becomes nobody else, and closes all again.
#[must_use]
pub fn refusals(plan: &RunPlan) -> Vec<Refusal> {
    // All at the same time: two of the plan's own may be in each other's way.
    let operator = Bound::operator(plan);
    let public = plan.public.as_ref().map(Bound::public).transpose();
    let doors = Doors::open(&plan.bgp, &plan.bmp);
    let user = plan.user.as_deref().map(User::find).transpose();
    let mut found = Vec::new();
    let mut refused = |about, why: Option<AgentError>| found.extend(why.map(|why| Refusal { about, why }));
    refused("listen", operator.err());
    refused("public", public.err());
    refused("sessions", doors.err().map(Into::into));
    refused("user", user.err().map(Into::into));
    refused("groups", Groups::with(plan.groups.as_deref()).err().map(Into::into));
    found.extend(
        plan.web_configs()
            .filter_map(|path| Web::open(path).err())
            .map(|why| Refusal { about: "web_config", why: why.into() }),
    );
    found
}

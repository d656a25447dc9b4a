//! The addresses of listeners that follow from others.

use std::net::SocketAddr;

use super::Config;
use crate::units::{Part, Service};

impl Config {
    /// Returns the address at which a process of this service tells its health, behind the key that it comes from.
    pub(crate) fn admin_of(&self, service: Service) -> (&'static str, SocketAddr) {
        match service.has(Part::Mail) {
            true => ("admin.listen", self.admin.listen),
            false => ("admin.web_listen", self.admin_of_web()),
        }
    }

    /// Returns the address at which a process that has the pages alone tells its health: `admin.web_listen`, else
    /// the first port after that of `admin.listen` which no other listener has.
    pub fn admin_of_web(&self) -> SocketAddr {
        if let Some(address) = self.admin.web_listen {
            return address;
        }
        let mut address = self.admin.listen;
        // Port 0 is any that is free.
        while address.port() != 0 && self.uses_port(address.port()) {
            address.set_port(address.port().checked_add(1).unwrap_or(1024));
        }
        address
    }

    fn uses_port(&self, port: u16) -> bool {
        let milter = self.milter.listen.tcp();
        let web = self.web.listen.tcp();
        [milter, web, Some(self.admin.listen), self.deposit.listen]
            .into_iter()
            .flatten()
            .any(|address| address.port() == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_alone_tell_their_health_at_the_next_port_that_is_free() {
        let mut config = Config::default();
        let is =
            |config: &Config, address: &str| assert_eq!(config.admin_of_web().to_string(), address);
        is(&config, "127.0.0.1:8027");
        config.deposit.listen = "0.0.0.0:8027".parse().ok();
        is(&config, "127.0.0.1:8028");
        config.admin.listen = "192.0.2.1:65535".parse().unwrap();
        is(&config, "192.0.2.1:1024");
        config.admin.listen.set_port(0);
        is(&config, "192.0.2.1:0");
        config.admin.web_listen = "127.0.0.1:9".parse().ok();
        is(&config, "127.0.0.1:9");
    }
}

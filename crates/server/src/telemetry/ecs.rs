//! Log lines as JSON in the Elastic Common Schema, one object each.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Debug};

use serde::ser::{SerializeMap, Serializer as _};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The release of the schema that names and types are taken from.
const VERSION: &str = "9.4.0";
/// What every line is of.
const SERVICE: &str = "pixel-playground";
const DATASET: &str = "pixel-playground.log";
/// The fields of the schema that our log calls name. Every other one is our own, and stands under [`OWN`].
const FIELDS: &[&str] = &[
    "client.address",
    "error.message",
    "error.type",
    "event.duration",
    "http.request.method",
    "http.response.status_code",
    "url.path",
];
/// What our own fields begin with, as the schema asks: a proper name that it will never use.
const OWN: &str = "pixel.";

/// Writes events so.
pub(super) struct Ecs {
    /// The services of this process.
    services: Vec<&'static str>,
}

impl Ecs {
    pub(super) fn new(services: Vec<&'static str>) -> Self {
        Self { services }
    }
}

impl<S, N> FormatEvent<S, N> for Ecs
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let mut said = Said::default();
        event.record(&mut said);
        let level = metadata.level().as_str().to_ascii_lowercase();
        let line = self.line(&time, &level, metadata.target(), &said).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

impl Ecs {
    /// What one reads first stands first.
    fn line(&self, time: &str, level: &str, target: &str, said: &Said) -> serde_json::Result<String> {
        let mut line = Vec::with_capacity(512);
        let mut serializer = serde_json::Serializer::new(&mut line);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("@timestamp", time)?;
        map.serialize_entry("log.level", level)?;
        map.serialize_entry("message", &said.message)?;
        map.serialize_entry("ecs.version", VERSION)?;
        map.serialize_entry("service.name", SERVICE)?;
        map.serialize_entry("service.version", env!("CARGO_PKG_VERSION"))?;
        map.serialize_entry("service.node.roles", &self.services)?;
        map.serialize_entry("event.dataset", DATASET)?;
        map.serialize_entry("log.logger", target)?;
        for (name, value) in &said.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()?;
        Ok(String::from_utf8(line).expect("JSON is UTF-8"))
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(Cow<'static, str>, Value)>,
}

impl Said {
    fn add(&mut self, field: &Field, value: Value) {
        let name = field.name();
        // What the `log` crate's records tell of themselves stands in the line already.
        if name.starts_with("log.") {
            return;
        }
        let name = match name {
            "error" => Cow::Borrowed("error.message"),
            _ if FIELDS.contains(&name) => Cow::Borrowed(name),
            _ => Cow::Owned(format!("{OWN}{name}")),
        };
        self.fields.push((name, value));
    }
}

impl Visit for Said {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.add(field, value.into());
        }
    }

    /// An error with all that it came from.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut chain = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        self.add(field, chain.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{error, info};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one thread").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(say: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Ecs::new(vec!["api", "gateway"]))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, say);
        let bytes = lines.0.lock().expect("one thread").clone();
        let text = String::from_utf8(bytes).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    #[test]
    fn what_the_schema_knows_keeps_its_name_and_all_else_is_our_own() {
        let said = lines(|| {
            info!(url.path = "/api", http.response.status_code = 500_u16, canvas.id = %"main", lost = 3, "oh \"no\"\n");
        });
        let line = &said[0];
        assert!(line["@timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        assert_eq!(line["log.level"], "info");
        assert_eq!(line["message"], "oh \"no\"\n");
        assert_eq!(line["service.node.roles"], serde_json::json!(["api", "gateway"]));
        assert_eq!(line["log.logger"], "pixel_playground::telemetry::ecs::tests");
        assert_eq!((&line["url.path"], &line["http.response.status_code"]), (&"/api".into(), &500.into()));
        assert_eq!((&line["pixel.canvas.id"], &line["pixel.lost"]), (&"main".into(), &3.into()));
    }

    #[test]
    fn an_error_tells_what_it_came_from() {
        #[derive(Debug, thiserror::Error)]
        #[error("the store is away")]
        struct Away(#[source] io::Error);
        let away = Away(io::Error::other("no route"));
        let said = lines(|| error!(error = &away as &dyn Error, "placing failed"));
        assert_eq!(said[0]["error.message"], "the store is away: no route");
        let said = lines(|| error!(error = %away, "placing failed"));
        assert_eq!(said[0]["error.message"], "the store is away");
    }
}

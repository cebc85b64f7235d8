//! Short messages between processes that share a server: published, maybe lost, never waited for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{Redis, Shared};

/// Messages that wait to be published, and that wait to be read; beyond them, messages are lost.
pub const LINE_MESSAGES_MAX: usize = 4_096;
/// Wait before a subscription that broke off is made again.
const RETRY: Duration = Duration::from_millis(500);
/// Who hears nothing for so long subscribes again: whoever listens also speaks, every few seconds.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Both ends of a line: what is sent reaches every process that opened it, this one too.
#[derive(Debug)]
pub struct Line {
    /// Messages to publish.
    pub publish: mpsc::Sender<Vec<u8>>,
    /// Messages that were published.
    pub received: mpsc::Receiver<Vec<u8>>,
}

impl Redis {
    /// Opens a line on a topic; it lives as long as its ends. Broken connections are made again.
    #[must_use]
    pub fn line(&self, topic: &'static str) -> Line {
        let (publish, to_publish) = mpsc::channel(LINE_MESSAGES_MAX);
        let (heard, received) = mpsc::channel(LINE_MESSAGES_MAX);
        tokio::spawn(publish_all(Arc::clone(&self.shared), topic, to_publish));
        tokio::spawn(subscribe(Arc::clone(&self.shared), topic, heard));
        Line { publish, received }
    }
}

async fn publish_all(shared: Arc<Shared>, topic: &str, mut messages: mpsc::Receiver<Vec<u8>>) {
    while let Some(message) = messages.recv().await {
        let mut command = redis::cmd("PUBLISH");
        command.arg(topic).arg(message);
        if let Err(failure) = shared.servers.command::<u64>(topic, &command).await {
            debug!(error = &failure as &dyn std::error::Error, "a message on {topic} is lost");
        }
    }
}

async fn subscribe(shared: Arc<Shared>, topic: &str, heard: mpsc::Sender<Vec<u8>>) {
    let mut failing = false;
    while !heard.is_closed() {
        if let Err(failure) = listen(&shared, topic, &heard, &mut failing).await
            && !failing
        {
            warn!(error = &*failure as &dyn std::error::Error, "nothing is heard on {topic}, trying again");
            failing = true;
        }
        sleep(RETRY).await;
    }
}

/// Passes on what is heard until the connection breaks or falls silent, or nobody wants it.
async fn listen(
    shared: &Shared,
    topic: &str,
    heard: &mpsc::Sender<Vec<u8>>,
    failing: &mut bool,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut subscription = shared.servers.subscription(topic).await?;
    timeout(SILENCE_MAX, subscription.subscribe(topic)).await??;
    *failing = false;
    let mut messages = subscription.into_on_message();
    loop {
        tokio::select! {
            message = timeout(SILENCE_MAX, messages.next()) => match message {
                // A reader that is behind loses what it cannot hold.
                Ok(Some(message)) => drop(heard.try_send(message.get_payload_bytes().to_vec())),
                // One that was frozen or cut off says nothing: the next may be another server.
                Ok(None) | Err(_) => return Ok(()),
            },
            () = heard.closed() => return Ok(()),
        }
    }
}

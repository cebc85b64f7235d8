//! Asks sentinels, or the nodes of a cluster, who the masters are.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, RedisResult, Value};
use tokio::time::timeout;

use super::address::{Address, Kind, Node, Peer};
use super::map::{Age, Map, Told};
use super::server::Unusable;

/// How long one of them may take, from connecting to the last answer. They are asked together.
const PATIENCE: Duration = Duration::from_millis(600);

/// What is known now. All are asked, and who knows of the latest failover is believed: one that was
/// cut off still tells of the master before. `known` are nodes besides those of the address.
pub(super) async fn find(address: &Address, known: &[Node], ca: Option<&[u8]>) -> Result<Told, Unusable> {
    let master = match &address.kind {
        Kind::Single => {
            let map = Map::One(address.seeds[0].clone());
            return Ok(Told { age: Age { whole: true, epoch: 0 }, map, replicas: 0 });
        }
        Kind::Sentinel { master } => Some(master.as_str()),
        Kind::Cluster => None,
    };
    let mut nodes = address.seeds.clone();
    nodes.extend(known.iter().filter(|node| !address.seeds.contains(node)).cloned());
    let ask = async |node: &Node| -> Result<Told, (String, Option<RedisError>)> {
        let told = match master {
            Some(master) => timeout(PATIENCE, ask_sentinel(address, node, master, ca)).await,
            None => timeout(PATIENCE, ask_node(address, node, ca)).await,
        };
        match told {
            Ok(Ok(Some(told))) => Ok(told),
            Ok(Ok(None)) => Err((format!("{node} answers what cannot be understood"), None)),
            Ok(Err(error)) => Err((format!("{node}: {error}"), Some(error))),
            Err(_) => Err((format!("{node} does not answer"), None)),
        }
    };
    let mut told = Vec::new();
    let (mut complaints, mut cause) = (Vec::new(), None);
    for answer in join_all(nodes.iter().map(ask)).await {
        match answer {
            Ok(answer) => told.push(answer),
            Err((complaint, error)) => {
                complaints.push(complaint);
                cause = cause.or(error);
            }
        }
    }
    Told::latest(told.into_iter()).ok_or_else(|| Unusable::NotFound(complaints.join("; "), cause))
}

async fn ask_sentinel(
    address: &Address,
    node: &Node,
    master: &str,
    ca: Option<&[u8]>,
) -> RedisResult<Option<Told>> {
    let mut connection = match dial(address, node, Peer::Sentinel, ca).await {
        // The credentials are the servers'; sentinels may have none.
        Err(error) if is_about_credentials(&error) => dial(address, node, Peer::OpenSentinel, ca).await?,
        dialed => dialed?,
    };
    let mut ask = async |what: &str| -> RedisResult<Value> {
        redis::cmd("SENTINEL").arg(what).arg(master).query_async(&mut connection).await
    };
    let fields: HashMap<String, String> = redis::from_redis_value(ask("MASTER").await?)?;
    let replicas: Vec<HashMap<String, String>> = redis::from_redis_value(ask("REPLICAS").await?)?;
    Ok(Told::by_sentinel(&fields, &replicas))
}

async fn ask_node(address: &Address, node: &Node, ca: Option<&[u8]>) -> RedisResult<Option<Told>> {
    let mut connection = dial(address, node, Peer::Server, ca).await?;
    let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await?;
    let slots: Vec<Value> = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
    Ok(Told::by_node(&info, slots, node))
}

async fn dial(
    address: &Address,
    node: &Node,
    peer: Peer,
    ca: Option<&[u8]>,
) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    address.client(node, peer, ca)?.get_multiplexed_async_connection_with_config(&config).await
}

fn is_about_credentials(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"))
}

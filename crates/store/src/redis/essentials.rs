//! What has to be in the store for anybody to work: made again when a server came back without it.

use std::collections::HashMap;

use pixel_canvas::{Canvas, CanvasId};
use tracing::{debug, error, info, warn};

use super::identity::{IDENTITY_KEY, IDENTITY_KEY_BYTES};
use super::losses::History;
use super::{Redis, Shared, canvas_key};
use crate::{Condition, Created, StoreError};

/// What an api sees to that it is there.
#[derive(Clone, Debug)]
pub struct Essentials {
    /// The key that guests are signed with here; `None` where it does not come from the store.
    pub identity_key: Option<[u8; IDENTITY_KEY_BYTES]>,
    /// The canvases that are made where they are missing, but those that the host deleted.
    pub canvases: Vec<Canvas>,
}

impl Redis {
    /// Looks now and every second from now on whether these are there, as far as the store takes
    /// writes, and makes again what a server lost.
    pub async fn keep(&self, essentials: Essentials) {
        let upkeep = Upkeep { essentials, canvases: HashMap::new(), other_key_said: false };
        self.shared.upkeep.lock().await.insert(upkeep).look(&self.shared).await;
    }
}

/// What became of the essentials, as far as was looked.
#[derive(Debug)]
pub(super) struct Upkeep {
    essentials: Essentials,
    canvases: HashMap<CanvasId, Found>,
    /// The log says that another identity key is there.
    other_key_said: bool,
}

#[derive(Debug)]
enum Found {
    /// It stood, in this life.
    Stood(Vec<u8>),
    /// The host deleted it.
    Deleted,
}

impl Upkeep {
    /// Looks once. What fails is looked at again the next time, and said by who looks at the servers.
    pub(super) async fn look(&mut self, shared: &Shared) {
        if let Some(own) = self.essentials.identity_key
            && shared.servers.condition_of(IDENTITY_KEY) == Condition::Writable
            && let Err(failure) = self.look_for_key(shared, own).await
        {
            debug!(error = &failure as &dyn std::error::Error, "the identity key was not looked at");
        }
        for canvas in &self.essentials.canvases {
            let id = &canvas.id;
            if shared.servers.condition_of(&canvas_key(id)) == Condition::Writable
                && let Err(failure) = look_for_canvas(shared, canvas, &mut self.canvases).await
            {
                debug!(canvas.id = %id, error = &failure as &dyn std::error::Error, "canvas {id} was not looked at");
            }
        }
    }

    async fn look_for_key(
        &mut self,
        shared: &Shared,
        own: [u8; IDENTITY_KEY_BYTES],
    ) -> Result<(), StoreError> {
        let there = match shared.identity_key().await? {
            Some(there) => there,
            None => {
                warn!("the identity key was gone from the store: this process puts its own back");
                shared.make_identity_key(own).await?
            }
        };
        let is_other = there != own;
        if is_other && !self.other_key_said {
            error!(
                "the store holds another identity key ({IDENTITY_KEY}) than this process signs with: guests of one \
                 are strangers to the other, and gateways are refused by apis of the other. To go on with the \
                 store's, restart this api and the gateways that are as old. To keep this process' guests, stop \
                 the apis and gateways that came later, delete {IDENTITY_KEY}, and start them when it is back"
            );
        }
        self.other_key_said = is_other;
        Ok(())
    }
}

async fn look_for_canvas(
    shared: &Shared,
    canvas: &Canvas,
    found: &mut HashMap<CanvasId, Found>,
) -> Result<(), StoreError> {
    let id = &canvas.id;
    if let Some(stands) = shared.stand(id).await? {
        found.insert(id.clone(), Found::Stood(stands.life));
        return Ok(());
    }
    match found.get(id) {
        Some(Found::Deleted) => return Ok(()),
        Some(Found::Stood(life)) => {
            if let History::Deleted = shared.history(id, life).await? {
                info!(canvas.id = %id, "canvas {id} was deleted, and is made again when an api starts");
                found.insert(id.clone(), Found::Deleted);
                return Ok(());
            }
        }
        // Never seen: it could not be made at the start.
        None => {}
    }
    if let Created::Made(_) = shared.create(canvas.clone()).await? {
        if found.contains_key(id) {
            warn!(canvas.id = %id, "canvas {id} was gone, though nobody deleted it: it was made again, blank");
        } else {
            info!(canvas.id = %id, "canvas {id} was made");
        }
    }
    Ok(())
}

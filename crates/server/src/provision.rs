//! The canvases that exist when the process starts: `main`, and those that the configuration describes.

use std::sync::Arc;
use std::time::Duration;

use pixel_canvas::{Amendment, Canvas, Sequence};
use pixel_store::{Condition, Created, Store, StoreError};
use tokio::time::sleep;
use tracing::{debug, error, info};

use crate::config::DescribedCanvas;

/// Wait before what was put off is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Why the canvases could not be made as described.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvisionError {
    /// What is painted on cannot take another shape.
    #[error(
        "[[canvas]] {id}: it was painted on, and its size, palette and background are fixed: \
         describe it as it is ({width}×{height}), or keep the new one under another id"
    )]
    Fixed { id: String, width: u32, height: u32 },
    #[error("the store does not answer: {0}")]
    Store(#[from] StoreError),
}

/// Every canvas that is made where it is missing.
pub(crate) fn asked_for(described: &[DescribedCanvas]) -> Vec<Canvas> {
    let described_ones = described.iter().map(|described| described.canvas.clone());
    undescribed(described).into_iter().chain(described_ones).collect()
}

/// The default canvas, unless it is described.
fn undescribed(described: &[DescribedCanvas]) -> Option<Canvas> {
    let default = Canvas::default_canvas();
    described.iter().all(|described| described.canvas.id != default.id).then_some(default)
}

/// Makes what is missing, and changes what the description says otherwise. A key that the
/// description leaves out stays as the host set it.
pub(crate) async fn provision(
    store: &dyn Store,
    described: &[DescribedCanvas],
) -> Result<(), ProvisionError> {
    if let Some(canvas) = undescribed(described) {
        make(store, &canvas).await?;
    }
    for described in described {
        see_to(store, described).await?;
    }
    Ok(())
}

/// The same as far as the store lets it now: answers with what is to be seen to later. What is missing
/// altogether, the store is also told to look after ([`pixel_store::redis::Essentials`]).
pub(crate) async fn provision_what_can_be(
    store: &dyn Store,
    described: &[DescribedCanvas],
) -> Result<Vec<DescribedCanvas>, ProvisionError> {
    if let Some(canvas) = undescribed(described)
        && let Err(failure) = make(store, &canvas).await
    {
        put_off(&canvas, &failure);
    }
    let mut later = Vec::new();
    for described in described {
        match see_to(store, described).await {
            Ok(()) => {}
            Err(ProvisionError::Store(failure)) => {
                put_off(&described.canvas, &failure);
                later.push(described.clone());
            }
            Err(fixed) => return Err(fixed),
        }
    }
    Ok(later)
}

/// Sees to what was put off, until all of it is as described or cannot be.
pub(crate) async fn provision_later(store: Arc<dyn Store>, mut later: Vec<DescribedCanvas>) {
    while !later.is_empty() {
        sleep(RETRY).await;
        let mut still = Vec::new();
        for described in later {
            if store.condition_of(&described.canvas.id) != Condition::Writable {
                still.push(described);
                continue;
            }
            match see_to(store.as_ref(), &described).await {
                Ok(()) => {}
                Err(ProvisionError::Store(_)) => still.push(described),
                // People paint meanwhile: a process that serves them does not end over it.
                Err(fixed) => error!(canvas.id = %described.canvas.id, "{fixed}"),
            }
        }
        later = still;
    }
}

fn put_off(canvas: &Canvas, failure: &StoreError) {
    let cause = failure as &dyn std::error::Error;
    debug!(canvas.id = %canvas.id, error = cause, "canvas {} is seen to later", canvas.id);
}

async fn see_to(store: &dyn Store, described: &DescribedCanvas) -> Result<(), ProvisionError> {
    let DescribedCanvas { canvas, amendment } = described;
    let Some(there) = make(store, canvas).await? else { return Ok(()) };
    let same_shape =
        (there.size, &there.palette, there.background) == (canvas.size, &canvas.palette, canvas.background);
    if same_shape {
        amend(store, &there, amendment).await
    } else {
        replace_blank(store, &there, canvas).await
    }
}

/// Makes a canvas where there is none of its id; answers with the one that is there already, also
/// where the store takes no writes.
async fn make(store: &dyn Store, canvas: &Canvas) -> Result<Option<Arc<Canvas>>, StoreError> {
    match store.create(canvas.clone()).await {
        Ok(Created::Exists(there)) => Ok(Some(there)),
        Ok(Created::Made(_)) => {
            info!(canvas.id = %canvas.id, "canvas {} was made", canvas.id);
            Ok(None)
        }
        Err(failure) if matches!(store.condition_of(&canvas.id), Condition::Away(..)) => Err(failure),
        Err(failure) => match store.canvas(&canvas.id).await? {
            Some(there) => Ok(Some(there)),
            None => Err(failure),
        },
    }
}

async fn amend(store: &dyn Store, there: &Canvas, amendment: &Amendment) -> Result<(), ProvisionError> {
    let mut amended = there.clone();
    let differs = amended.amend(amendment).is_ok() && amended != *there;
    if differs {
        // Its values were checked with the configuration.
        let _checked = store.amend(&there.id, amendment.clone()).await?;
        info!(canvas.id = %there.id, "canvas {} has the rules of the configuration now", there.id);
    }
    Ok(())
}

/// A canvas that nobody painted on can take another shape.
async fn replace_blank(store: &dyn Store, there: &Canvas, canvas: &Canvas) -> Result<(), ProvisionError> {
    let position = store.position(&there.id).await?;
    if position.is_some_and(|position| position.sequence > Sequence::ZERO) {
        let (id, width, height) = (there.id.to_string(), there.size.width(), there.size.height());
        return Err(ProvisionError::Fixed { id, width, height });
    }
    store.delete(&there.id).await?;
    store.create(canvas.clone()).await?;
    info!(canvas.id = %canvas.id, "canvas {} was blank and has another shape now", canvas.id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use pixel_canvas::{Author, CanvasId, CanvasSpec, Color, Identity, Name, Placement, Point, Timestamp};
    use pixel_store::embedded::{Embedded, Options};
    use pixel_store::{Limits, Outcome, Submission};

    use super::*;

    fn described(width: i64, cooldown_ms: Option<i64>) -> DescribedCanvas {
        let spec = CanvasSpec { id: "main".into(), width, height: 50, cooldown_ms, ..CanvasSpec::default() };
        DescribedCanvas {
            canvas: Canvas::parse(&spec).expect("a canvas"),
            amendment: Amendment { cooldown_ms, ..Amendment::default() },
        }
    }

    async fn main_of(store: &dyn Store) -> Arc<Canvas> {
        store.canvas(&CanvasId::default_canvas()).await.expect("a store").expect("a canvas")
    }

    #[tokio::test]
    async fn a_blank_canvas_takes_the_described_shape_and_a_painted_one_keeps_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits { identity: None, address: None, guests_per_address: 64 };
        let options = Options::new(limits, Arc::new(|| Timestamp(1_000)));
        let store = Embedded::open(folder.path(), options).expect("a store");
        provision(&store, &[]).await.expect("main is made");
        assert_eq!(main_of(&store).await.size.width(), 50);
        provision(&store, &[described(80, Some(5_000))]).await.expect("it is blank");
        assert_eq!((main_of(&store).await.size.width(), main_of(&store).await.cooldown_ms), (80, 5_000));
        let host = Amendment { cooldown_ms: Some(7_000), ..Amendment::default() };
        store
            .amend(&CanvasId::default_canvas(), host)
            .await
            .expect("a store")
            .expect("a canvas")
            .expect("valid");
        provision(&store, &[described(80, None)]).await.expect("nothing is asked for");
        assert_eq!(main_of(&store).await.cooldown_ms, 7_000);

        let submission = Submission {
            author: Author { identity: Identity([0; 16]), address: None, since: None },
            name: Name::anonymous(),
            key: None,
            act: pixel_store::Act::Place(vec![Placement { at: Point { x: 0, y: 0 }, color: Color([1; 3]) }]),
        };
        let placed = store.place(&CanvasId::default_canvas(), vec![submission]).await.expect("a store");
        assert!(matches!(placed[..], [Outcome::Accepted(_)]), "{placed:?}");
        let refused = provision(&store, &[described(90, None)]).await.expect_err("it was painted on");
        assert!(refused.to_string().contains("80×50"), "{refused}");
        provision(&store, &[described(80, Some(0))]).await.expect("rules may change");
        assert_eq!(main_of(&store).await.cooldown_ms, 0);
    }
}

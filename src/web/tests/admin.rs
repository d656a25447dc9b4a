//! The admin listener, which runs on the same server.

use super::*;
use crate::admin::Work;

async fn admin(site: Fixture) -> Fixture {
    let url = &WebConfig::default().public_url;
    let stores = crate::store::Stores::of_drop(site.drop.clone(), url);
    admin_of(site, Work::Deposits(stores)).await
}

async fn admin_of(site: Fixture, work: Work) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = crate::admin::router(work, site.metrics.clone());
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(serve(listener, router, crate::admin::limits(), async {
        let _ = stopped.await;
    }));
    Fixture {
        stop,
        server,
        address,
        ..site
    }
}

#[tokio::test]
async fn admin_listener_tells_health_readiness_and_metrics() {
    let admin = admin(Fixture::new().await).await;
    assert_eq!(admin.get("/healthz").await.status, 200);
    assert_eq!(admin.get("/readyz").await.status, 200);
    assert!(
        admin
            .get("/metrics")
            .await
            .text()
            .contains("# TYPE depollueur_downloads_total counter")
    );
}

#[tokio::test]
async fn drop_that_takes_nothing_is_not_ready_but_the_process_lives() {
    let site = Fixture::new().await;
    std::fs::remove_dir_all(site.home.path().join("drop")).unwrap();
    let admin = admin(site).await;
    assert_eq!(admin.get("/readyz").await.status, 503);
    assert_eq!(admin.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn pages_alone_are_ready_as_long_as_the_records_can_be_read() {
    let site = Fixture::new().await;
    let drop = site.home.path().join("drop");
    // Where it may only be read, as in the sandbox of the service.
    std::fs::remove_dir_all(drop.join("drafts")).unwrap();
    let work = Work::Links(site.drop.clone());
    let admin = admin_of(site, work).await;
    assert_eq!(admin.get("/readyz").await.status, 200);
}

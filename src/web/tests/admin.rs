//! The admin listener, which runs on the same server.

use super::*;

async fn admin(site: Fixture) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = crate::admin::router(
        crate::store::Stores::of_drop(site.drop.clone(), &WebConfig::default().public_url),
        site.metrics.clone(),
    );
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

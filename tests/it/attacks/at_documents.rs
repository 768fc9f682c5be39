//! Attacks by Client ID Metadata Documents: a client names an address, and the gateway is made to fetch it.

use hyper::StatusCode;

use super::town::{Bend, Town};

#[tokio::test]
async fn addresses_that_no_stranger_may_have_us_ask_are_refused_unasked() {
    let town = Town::start().await;
    for address in [
        "https://127.0.0.1/client.json",
        "https://127.0.0.2:8443/client.json",
        "https://localhost/client.json",
        "https://[::1]/client.json",
        "https://10.0.0.1/client.json",
        "https://172.16.0.1/client.json",
        "https://192.168.1.1/client.json",
        "https://100.64.0.1/client.json",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/client.json",
        "https://[fd00::1]/client.json",
        "https://[::ffff:127.0.0.1]/client.json",
        "https://[::ffff:169.254.169.254]/client.json",
        "https://[64:ff9b::7f00:1]/client.json",
        "https://[2002:7f00:1::]/client.json",
        "https://0.0.0.0/client.json",
        "https://224.0.0.1/client.json",
        "https://255.255.255.255/client.json",
        "https://2130706433/client.json",
        "https://0x7f.1/client.json",
        "https://user@app.test/client.json",
        "https://app.test/client.json#x",
        "https://app.test/../client.json",
        "https://app.test",
        "http://app.test/client.json",
    ] {
        let mut asked = town.honest();
        asked.set("client_id", address);
        let reply = town.client.get(&Town::authorize_url(&asked)).await;
        assert!(
            reply.status.is_client_error(),
            "{address}: {}",
            reply.status
        );
        assert_eq!(reply.header("location"), None, "{address}");
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{address}");
        town.told(address, &reply).await;
    }
}

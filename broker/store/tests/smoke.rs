//! tmp
use std::sync::{Arc, mpsc};
use trine_store::*;
#[test]
fn smoke() {
    let dir = std::env::temp_dir().join(format!("trine-smoke-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let key = |id| Key { table: Table::Event, id };
    {
        let store = Embedded::open(&dir, Options::default()).unwrap();
        println!("{}", Embedded::open(&dir, Options::default()).unwrap_err());
        let shard = Shard(3);
        assert_eq!(store.scan(shard, &mut |_, _| Ok(())).unwrap(), Seq(0));
        let fence = store.acquire(shard).unwrap();
        let store = Arc::new(store);
        let (tx, rx) = mpsc::channel();
        let committer =
            Committer::start(store.clone(), shard, fence, Box::new(move |c| tx.send(c).unwrap()))
                .unwrap();
        for id in 0..1000 {
            let mut batch = Batch::default();
            batch.put(key(id), vec![7; 100]);
            batch.put(Key { table: Table::Payload, id: u64::MAX - id }, vec![7; 1000]);
            if id > 100 {
                batch.delete(key(id - 100));
            }
            committer.submit(id, batch);
        }
        drop(committer);
        for c in rx {
            println!("{c:?}");
        }
        let mut n = 0;
        println!(
            "{:?}",
            store
                .scan(shard, &mut |_, _| {
                    n += 1;
                    Ok(())
                })
                .unwrap()
        );
        assert_eq!(n, 101);
        assert!(store.get(shard, Key { table: Table::Payload, id: u64::MAX }).unwrap().is_some());
    }
    for e in std::fs::read_dir(&dir).unwrap() {
        let e = e.unwrap();
        println!("{:?} {}", e.path(), e.metadata().unwrap().len());
    }
    println!("{}", std::fs::read_to_string(dir.join("MANIFEST")).unwrap());
    println!("{:?}", Embedded::check(&dir).unwrap());
    let store = Embedded::open(&dir, Options::default()).unwrap();
    let mut n = 0;
    println!(
        "{:?}",
        store
            .scan(Shard(3), &mut |_, _| {
                n += 1;
                Ok(())
            })
            .unwrap()
    );
    assert_eq!(n, 101);
}

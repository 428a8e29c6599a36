//! Records drawn at random: every field, every variant, and the numbers at the edges.

use trine_engine::{
    Death, Delivery, Destination, End, Ended, EventRecord, EventSeq, EventStage, FunctionName,
    FunctionRecord, FunctionSettings, Idempotency, MaxEventAgeSeconds, MaxRetries, MemoryMb,
    RequestId, TimeoutSeconds,
};
use trine_store::record::PayloadEnvelope;

use crate::name;

/// A seeded generator (SplitMix64): the same seed draws the same records on every machine.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn place(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end.try_into().unwrap())).unwrap()
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Often small or an edge, as numbers in records are.
    fn number(&mut self) -> u64 {
        match self.below(5) {
            0 => 0,
            1 => u64::MAX,
            2 => self.below(300),
            3 => 1_793_000_000_000 + self.below(1 << 32),
            _ => self.next(),
        }
    }

    fn small(&mut self) -> u32 {
        u32::try_from(self.number() & u64::from(u32::MAX)).unwrap()
    }

    fn id(&mut self) -> RequestId {
        RequestId(u128::from(self.number()) << 64 | u128::from(self.number()))
    }

    fn name(&mut self) -> FunctionName {
        const LETTERS: &[u8] = b"azAZ09-_";
        let length = 1 + self.below(64);
        let letter = |_| char::from(LETTERS[self.place(LETTERS.len())]);
        name(&(0..length).map(letter).collect::<String>())
    }

    fn text(&mut self) -> String {
        let letters = ['a', '/', '"', '\0', 'ß', '漢', '\u{10ffff}'];
        let length = 1 + self.below(40);
        (0..length).map(|_| letters[self.place(letters.len())]).collect()
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.coin().then(|| draw(self))
    }

    pub(crate) fn event(&mut self) -> EventRecord {
        let seq = EventSeq(self.number());
        let accepted_at = self.number();
        EventRecord {
            seq,
            request_id: self.id(),
            function: self.name(),
            accepted_at,
            age_from: self.maybe(Self::number).unwrap_or(accepted_at),
            payload_seq: self.maybe(|draw| EventSeq(draw.number())).unwrap_or(seq),
            payload_bytes: self.small(),
            attempts: self.small(),
            hops: self.below(256).try_into().unwrap(),
            failed: self.coin(),
            stage: self.stage(),
            idempotency: self.maybe(|draw| {
                Box::new(Idempotency { key: draw.text().into(), digest: draw.next() })
            }),
            redriven_from: self.maybe(Self::id),
        }
    }

    fn stage(&mut self) -> EventStage {
        if self.coin() {
            return EventStage::Waiting { due_at: self.number(), retry: self.coin() };
        }
        let end = match self.below(7) {
            0 => End::Succeeded,
            1 => End::Dead(Death::RetriesExhausted),
            2 => End::Dead(Death::EventAgeExceeded),
            3 => End::Dead(Death::ZeroReservedConcurrency),
            4 => End::Dead(Death::RecursiveInvocation),
            5 => End::Cancelled,
            _ => End::Redriven { to: self.id() },
        };
        let delivery = match self.below(4) {
            0 => Delivery::None,
            1 => Delivery::Pending,
            2 => Delivery::Delivered,
            _ => Delivery::Undelivered,
        };
        EventStage::Ended(Ended { end, at: self.number(), delivery })
    }

    pub(crate) fn function(&mut self) -> FunctionRecord {
        let ranged = |draw: &mut Self, low: u64, high: u64| low + draw.below(high - low + 1);
        FunctionRecord {
            number: self.number(),
            name: self.name(),
            created_at: self.number(),
            modified_at: self.number(),
            settings: FunctionSettings {
                description: self.maybe(|draw| draw.text().into()),
                timeout: self.maybe(|draw| {
                    TimeoutSeconds::new(ranged(draw, 1, 900).try_into().unwrap()).unwrap()
                }),
                memory: self.maybe(|draw| {
                    MemoryMb::new(ranged(draw, 128, 10_240).try_into().unwrap()).unwrap()
                }),
                reserved_concurrency: self.maybe(Self::small),
                max_retries: self
                    .maybe(|draw| MaxRetries::new(draw.below(3).try_into().unwrap()).unwrap()),
                max_event_age: self.maybe(|draw| {
                    MaxEventAgeSeconds::new(ranged(draw, 60, 21_600).try_into().unwrap()).unwrap()
                }),
                on_success: self.maybe(Self::destination),
                on_failure: self.maybe(Self::destination),
            },
        }
    }

    fn destination(&mut self) -> Destination {
        match self.below(8) {
            0 => Destination::Function(self.name()),
            1 => Destination::Http { url: self.text().into() },
            2 => Destination::Nats {
                url: self.text().into(),
                subject: self.text().into(),
                jetstream: self.coin(),
            },
            3 => Destination::Sqs {
                queue: self.text().into(),
                region: self.maybe(Self::text).unwrap_or_default().into(),
                endpoint_url: self.maybe(Self::text).unwrap_or_default().into(),
            },
            4 => Destination::Sns { url: self.text().into(), topic_arn: self.text().into() },
            5 => Destination::Kafka {
                bootstrap_servers: (0..self.below(3)).map(|_| self.text().into()).collect(),
                topic: self.text().into(),
            },
            6 => Destination::RabbitMq {
                url: self.text().into(),
                virtual_host: self.maybe(Self::text).unwrap_or_default().into(),
                exchange: self.maybe(Self::text).unwrap_or_default().into(),
                routing_key: self.maybe(Self::text).unwrap_or_default().into(),
            },
            _ => Destination::File { name: self.text().into() },
        }
    }

    pub(crate) fn payload(&mut self) -> PayloadEnvelope {
        PayloadEnvelope {
            payload: self.text().into(),
            traceparent: self.maybe(Self::text).unwrap_or_default(),
            tracestate: self.maybe(Self::text).unwrap_or_default(),
            qualified: self.coin(),
        }
    }
}

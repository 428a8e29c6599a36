//! The JSON of an item of DynamoDB, types included: `{"Id":{"N":"101"}}`. Attributes are sorted by name, so that equal items have
//! equal texts.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::types::AttributeValue;

use crate::aws::Json;

/// Attributes by name.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Writes an item.
pub(super) fn write_item(json: &mut Json, item: &Item) {
    let mut attributes: Vec<_> = item.iter().collect();
    attributes.sort_unstable_by_key(|(name, _)| *name);
    json.raw("{");
    for (name, value) in attributes {
        json.name(name);
        write(json, value);
    }
    json.raw("}");
}

fn write(json: &mut Json, value: &AttributeValue) {
    json.raw("{");
    match value {
        AttributeValue::S(text) => {
            json.name("S");
            json.string(text);
        }
        AttributeValue::N(number) => {
            json.name("N");
            json.string(number);
        }
        AttributeValue::B(bytes) => {
            json.name("B");
            json.base64(bytes.as_ref());
        }
        AttributeValue::Ss(texts) => {
            json.name("SS");
            json.list(texts, |json, text| json.string(text));
        }
        AttributeValue::Ns(numbers) => {
            json.name("NS");
            json.list(numbers, |json, number| json.string(number));
        }
        AttributeValue::Bs(all) => {
            json.name("BS");
            json.list(all, |json, bytes| json.base64(bytes.as_ref()));
        }
        AttributeValue::M(item) => {
            json.name("M");
            write_item(json, item);
        }
        AttributeValue::L(values) => {
            json.name("L");
            json.list(values, write);
        }
        AttributeValue::Bool(value) => {
            json.name("BOOL");
            json.raw(if *value { "true" } else { "false" });
        }
        AttributeValue::Null(value) => {
            json.name("NULL");
            json.raw(if *value { "true" } else { "false" });
        }
        // A type that this version of the client does not know: the function sees that there is something.
        _ => {}
    }
    json.raw("}");
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodbstreams::primitives::Blob;

    use super::*;

    #[test]
    fn every_type_has_its_letter_and_names_are_sorted() {
        let text = |text: &str| AttributeValue::S(text.into());
        let item: Item = [
            ("z", text("\"")),
            ("a", AttributeValue::N("-1.50".into())),
            ("b", AttributeValue::B(Blob::new([0, 255]))),
            ("c", AttributeValue::Ss(vec!["x".into(), "y".into()])),
            ("d", AttributeValue::Ns(vec!["1".into()])),
            ("e", AttributeValue::Bs(vec![Blob::new("f")])),
            ("f", AttributeValue::M([("k".to_owned(), text("v"))].into())),
            ("g", AttributeValue::L(vec![AttributeValue::Bool(false), AttributeValue::Null(true)])),
            ("h", AttributeValue::M(HashMap::new())),
            ("i", AttributeValue::L(Vec::new())),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        let mut json = Json::with_capacity(0);
        write_item(&mut json, &item);
        assert_eq!(
            json.into_bytes(),
            concat!(
                r#"{"a":{"N":"-1.50"},"b":{"B":"AP8="},"c":{"SS":["x","y"]},"d":{"NS":["1"]},"#,
                r#""e":{"BS":["Zg=="]},"f":{"M":{"k":{"S":"v"}}},"g":{"L":[{"BOOL":false},{"NULL":true}]},"#,
                r#""h":{"M":{}},"i":{"L":[]},"z":{"S":"\""}}"#
            )
        );
    }
}

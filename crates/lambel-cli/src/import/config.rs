//! Labelling configurations of Label Studio: which choices there are, and where the image is.

use roxmltree::{Document, Node};

/// What a configuration says of the one control that is imported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LabelConfig {
    /// The control's name, by which results name it.
    pub(super) from_name: String,
    /// Which field of `data` has the address of the image.
    pub(super) image_key: String,
    /// The labels, in order.
    pub(super) labels: Vec<String>,
}

impl LabelConfig {
    /// Reads a configuration. Of several controls with choices the one that is called `from_name` counts.
    pub(super) fn parse(xml: &str, from_name: Option<&str>) -> Result<Self, String> {
        let document = Document::parse(xml).map_err(|error| format!("this is not XML: {error}"))?;
        let named = |node: &Node, tag: &str| node.is_element() && node.tag_name().name() == tag;
        let controls = document.descendants().filter(|node| {
            named(node, "Choices") && from_name.is_none_or(|wanted| node.attribute("name") == Some(wanted))
        });
        let controls: Vec<_> = controls.collect();
        let control = match controls.as_slice() {
            [one] => one,
            [] => return Err("it has no `Choices` of that name, or none at all".to_owned()),
            several => {
                let names: Vec<_> = several.iter().filter_map(|node| node.attribute("name")).collect();
                return Err(format!("it has several `Choices`; say which by --from-name: {}", names.join(", ")));
            }
        };
        if control.attribute("choice").is_some_and(|choice| choice != "single" && choice != "single-radio") {
            return Err("its `Choices` let people choose several, and an image has one label here".to_owned());
        }
        let attribute = |node: &Node, name: &str| node.attribute(name).map(str::to_owned);
        let from_name = attribute(control, "name").ok_or("its `Choices` have no name")?;
        let shown = attribute(control, "toName").ok_or("its `Choices` do not say what they are for")?;
        let image = document
            .descendants()
            .find(|node| named(node, "Image") && node.attribute("name") == Some(shown.as_str()))
            .ok_or_else(|| format!("it has no `Image` that is called `{shown}`"))?;
        let image_key = image.attribute("value").and_then(|value| value.strip_prefix('$'));
        let image_key = image_key.ok_or("the `value` of its `Image` names no field")?.to_owned();
        // The alias is what results have, where there is one.
        let label = |node: Node| attribute(&node, "alias").or_else(|| attribute(&node, "value"));
        let labels: Vec<_> = control.descendants().filter(|node| named(node, "Choice")).filter_map(label).collect();
        Ok(Self { from_name, image_key, labels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"<View><!-- look --><Image name="img" value="$picture" zoom="true"/>
        <Choices name="kind" toName="img" choice="single">
          <Choice value="Cat &amp; kitten" hotkey="1"/><View><Choice value="Dog" alias="dog"/></View>
        </Choices></View>"#;

    #[test]
    fn choices_and_the_field_of_the_image_are_found() {
        let found = LabelConfig::parse(PLAIN, None).unwrap();
        let labels = vec!["Cat & kitten".to_owned(), "dog".to_owned()];
        assert_eq!(found, LabelConfig { from_name: "kind".to_owned(), image_key: "picture".to_owned(), labels });
        assert_eq!(LabelConfig::parse(PLAIN, Some("kind")).unwrap(), found);
    }

    #[test]
    fn what_is_not_one_choice_for_one_image_is_refused() {
        let two = PLAIN.replace("</Choices>", r#"</Choices><Choices name="other" toName="img"/>"#);
        for (xml, from_name, says) in [
            ("<View>", None, "not XML"),
            ("<View/>", None, "no `Choices`"),
            (PLAIN, Some("other"), "no `Choices`"),
            (two.as_str(), None, "--from-name: kind, other"),
            (&PLAIN.replace("\"single\"", "\"multiple\""), None, "several"),
            (&PLAIN.replace("name=\"img\"", "name=\"x\""), None, "`img`"),
            (&PLAIN.replace("$picture", "https://x"), None, "names no field"),
        ] {
            let error = LabelConfig::parse(xml, from_name).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(LabelConfig::parse(&two, Some("kind")).unwrap().labels.len(), 2);
    }
}

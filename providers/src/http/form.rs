//! A form with files in it, as browsers send one (`multipart/form-data`).

use bytes::Bytes;

use super::body::{Body, Piece, Pieces};
use super::file::FilePart;

/// A form that is sent.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// Random, so that no file holds it.
    boundary: String,
    pieces: Vec<Piece>,
}

impl Form {
    pub(crate) fn new() -> Self {
        Self { boundary: crate::random::name(), pieces: Vec::new() }
    }

    /// With a field more.
    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        self.begin(&format!("name=\"{}\"\r\n", quoted(name)));
        self.write(format!("{value}\r\n"));
        self
    }

    /// With a file more.
    pub(crate) fn file(mut self, name: &str, file: &str, media_type: &str, part: FilePart) -> Self {
        let (name, file) = (quoted(name), quoted(file));
        self.begin(&format!(
            "name=\"{name}\"; filename=\"{file}\"\r\nContent-Type: {media_type}\r\n"
        ));
        self.pieces.push(Piece::Plain(part));
        self.write("\r\n".to_owned());
        self
    }

    /// With a file more that is made of these pieces.
    pub(crate) fn made(mut self, name: &str, file: &str, media_type: &str, made: Pieces) -> Self {
        let (name, file) = (quoted(name), quoted(file));
        self.begin(&format!(
            "name=\"{name}\"; filename=\"{file}\"\r\nContent-Type: {media_type}\r\n"
        ));
        self.pieces.extend(made.0);
        self.write("\r\n".to_owned());
        self
    }

    /// What it is made of, in order, but for its end.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// What stands between its parts.
    pub(crate) fn boundary(&self) -> &str {
        &self.boundary
    }

    /// The form as a body.
    pub(crate) fn into_body(self) -> Body {
        Body::Form(self)
    }

    fn begin(&mut self, what: &str) {
        let boundary = &self.boundary;
        self.write(format!("--{boundary}\r\nContent-Disposition: form-data; {what}\r\n"));
    }

    fn write(&mut self, text: String) {
        self.pieces.push(Piece::Text(Bytes::from(text)));
    }

    /// Its length in bytes as it is sent.
    pub(super) fn length(&self) -> u64 {
        self.clone().into_pieces().1.length()
    }

    /// Its media type and its pieces.
    pub(super) fn into_pieces(mut self) -> (String, Pieces) {
        self.write(format!("--{}--\r\n", self.boundary));
        (format!("multipart/form-data; boundary={}", self.boundary), Pieces(self.pieces))
    }
}

/// A name that ends neither its quotes nor its line.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt;

    use super::super::file::Source;
    use super::*;

    #[tokio::test]
    async fn a_form_is_written_as_browsers_write_it_and_its_length_is_known_before() {
        let bytes: Arc<[u8]> = Arc::from(*b"%PDF\r\n");
        let part = FilePart::whole(Source::Memory(bytes), 6);
        let form = Form::new().text("purpose", "user_data").file(
            "file",
            "a \"b\"\r\nX: ä.pdf",
            "application/pdf",
            part,
        );
        let Some((Some(media_type), pieces)) = form.into_body().into_pieces() else {
            panic!("a form has pieces and a media type")
        };
        let length = pieces.length();
        let sent = pieces.stream().try_collect::<Vec<_>>().await.unwrap().concat();
        assert_eq!(sent.len() as u64, length);
        let boundary = media_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let expected = "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n\
             user_data\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"a %22b%22%0D%0AX: ä.pdf\"\r\nContent-Type: application/pdf\r\n\r\n\
             %PDF\r\n\r\n--B--\r\n";
        assert_eq!(String::from_utf8(sent).unwrap(), expected.replace('B', boundary));
    }
}

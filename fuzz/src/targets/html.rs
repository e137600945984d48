//! Pages, as HTML and as XHTML, and other documents.

use crate::scratch;
use gatefold_cli::documents::{Documents, Fields, Wanted};

/// Reads the bytes as a document of each kind.
pub fn run(bytes: &[u8]) {
    for name in ["fuzz.html", "fuzz.xhtml", "fuzz.txt"] {
        let n_documents = read(name, bytes);
        assert_eq!(n_documents, 1, "{name}");
    }
}

/// Reads the documents of a file, and returns their number. They read the same again, have names of
/// their own, and are not longer than the file by much.
pub(super) fn read(name: &str, bytes: &[u8]) -> usize {
    let path = scratch::file(name, bytes);
    let fields = Fields { text: "text".into(), id: None, label: None };
    let documents = Documents::open(&[path], &Wanted::default(), fields).expect("there is a file");
    let mut ids = Vec::new();
    documents.for_each(|found| {
        if let Ok(text) = &found.text {
            assert!(!text.trim().is_empty());
            assert!(text.len() <= 4 * bytes.len() + 16, "{} of {}", text.len(), bytes.len());
            assert_eq!(documents.read(&found.place).as_ref(), Ok(text));
        }
        ids.push(found.id);
    });
    let n_documents = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n_documents, "documents share a name");
    n_documents
}

/// Pages with all that is treated in its own way.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "<!DOCTYPE html><html><head><title>T</title><style>p{}</style><script>if(a<b){}</script></head><body><h1>A &amp; B</h1><p>a<br>b<p hidden>c<ul><li>d<li>e</ul><pre>  f\n g</pre></body></html>",
        "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"><body><p/><![CDATA[x<y]]><textarea/>z</body></html>",
        "<table><tr><th>a<td>b<tr><td colspan=2>c</table><!-- d --><template>e</template><noscript>f</noscript><svg><title>g</title><![CDATA[h]]></svg>",
        "\u{FEFF}a\r\nb &nGt; &#x41; &#0; &notit; <a href='x'>c</a\n><textarea>d</textarea><select><option>e</select><plaintext>f",
    ]
    .map(|page| page.as_bytes().to_vec())
    .into_iter()
    .chain(encoded())
    .collect()
}

/// Pages and texts in other encodings than UTF-8.
fn encoded() -> [Vec<u8>; 4] {
    [
        &b"<html><meta http-equiv=content-type content='x; charset=shift_jis'>\x93\xfa\x96{"[..],
        b"<?xml version='1.0' encoding=\"koi8-r\"?><!-- x --><meta charset='\xc4\xc1",
        b"\xff\xfea\0\x0a\0\0\xd8",
        b"d\xe9j\xe0 vu \x1b$B\xc3\xa4\x1a",
    ]
    .map(<[u8]>::to_vec)
}

//! The tasks that are built in: the files of `workflows/tasks`, a name each.

/// Names and files, in order of their names.
pub(crate) const TASKS: &[(&str, &str)] = &[
    ("ask", include_str!("../workflows/tasks/ask.yaml")),
    ("caption", include_str!("../workflows/tasks/caption.yaml")),
    ("chart", include_str!("../workflows/tasks/chart.yaml")),
    ("classify", include_str!("../workflows/tasks/classify.yaml")),
    ("code-screenshot", include_str!("../workflows/tasks/code-screenshot.yaml")),
    ("compare", include_str!("../workflows/tasks/compare.yaml")),
    ("document", include_str!("../workflows/tasks/document.yaml")),
    ("documents", include_str!("../workflows/tasks/documents.yaml")),
    ("invoice", include_str!("../workflows/tasks/invoice.yaml")),
    ("ocr", include_str!("../workflows/tasks/ocr.yaml")),
    ("product", include_str!("../workflows/tasks/product.yaml")),
    ("translate-document", include_str!("../workflows/tasks/translate-document.yaml")),
    ("ui-review", include_str!("../workflows/tasks/ui-review.yaml")),
    ("video", include_str!("../workflows/tasks/video.yaml")),
];

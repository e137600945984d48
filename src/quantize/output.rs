//! The files being written, what of them is finished, and how a run resumes.

//! OpenAI's batch format in and out.

//! Documents in, summaries out: splitting, prompts, and summaries of summaries.

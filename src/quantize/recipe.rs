//! Recipes: which format a tensor gets, by its role.

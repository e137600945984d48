"""What the tasks count as right."""

import json


def has_words(doc, results):
    right = doc["choices"][doc["answer"]].lower()
    return {"right": float(right in results[0].lower())}


def has_letter(doc, results):
    try:
        letter = json.loads(results[0])["answer"]
    except (ValueError, KeyError, TypeError):
        return {"right": 0.0, "is_json": 0.0}
    return {"right": float(letter == "ABCD"[doc["answer"]]), "is_json": 1.0}

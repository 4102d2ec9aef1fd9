"""Every problem of section 6 of the facts that users reported, as a case: what they saw, and what names it."""

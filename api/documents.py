"""Documents: what an invoice or a quote says on paper, chosen and worded from the books (domain.document)."""



// Writes an invoice as UBL 2.1, the XML that accounting programs take in.

import artifacts from "flow:plugin/artifacts@0.1.0";

const UBL = "urn:oasis:names:specification:ubl:schema:xsd";

const INPUT = {
  type: "object",
  properties: {
    invoice: {
      type: "object",
      description: "An invoice as `workflows/invoice.yaml` reads one.",
    },
    name: { type: "string", description: "The name of the file; `invoice.xml` where it is not said." },
  },
  required: ["invoice"],
  additionalProperties: false,
};

export const meta = {
  describe() {
    return JSON.stringify({
      name: "ubl-invoice",
      version: "0.1.0",
      kind: "step",
      summary: "Writes an invoice as UBL 2.1.",
      input: INPUT,
      output: {
        type: "object",
        properties: { file: {}, xml: { type: "string" }, missing: { type: "array", items: { type: "string" } } },
        required: ["file", "xml", "missing"],
      },
    });
  },
};

export const step = {
  run(context, input, parts) {
    const { invoice, name } = JSON.parse(input);
    const missing = ["number", "date", "currency", "vendor", "buyer", "total"].filter(
      (key) => invoice[key] === undefined || invoice[key] === null,
    );
    for (const key of ["number", "date", "currency"]) {
      if (missing.includes(key)) throw failed("invalid-input", `the invoice has no \`${key}\``);
    }
    const xml = document(invoice);
    const writer = artifacts.create("application/xml", name ?? "invoice.xml");
    writer.write(utf8(xml));
    const file = artifacts.finish(writer);
    return {
      value: JSON.stringify({ file: { $part: 0 }, xml, missing }),
      parts: [{ mediaType: "application/xml", name: null, body: { tag: "artifact", val: file } }],
    };
  },
};

function document(invoice) {
  const { currency } = invoice;
  const money = (tag, value) =>
    value === undefined || value === null
      ? ""
      : `<cbc:${tag} currencyID="${escaped(currency)}">${escaped(value)}</cbc:${tag}>`;
  const text = (tag, value) =>
    value === undefined || value === null ? "" : `<cbc:${tag}>${escaped(value)}</cbc:${tag}>`;
  const party = (tag, name) =>
    `<cac:${tag}><cac:Party><cac:PartyName>${text("Name", name ?? "")}</cac:PartyName></cac:Party></cac:${tag}>`;
  const line = (row, index) =>
    `<cac:InvoiceLine>${text("ID", index + 1)}${text("InvoicedQuantity", row.quantity)}` +
    money("LineExtensionAmount", row.amount) +
    `<cac:Item>${text("Name", row.description)}</cac:Item>` +
    `<cac:Price>${money("PriceAmount", row.unit_price)}</cac:Price></cac:InvoiceLine>`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<Invoice xmlns="${UBL}:Invoice-2" xmlns:cac="${UBL}:CommonAggregateComponents-2" xmlns:cbc="${UBL}:CommonBasicComponents-2">`,
    text("ID", invoice.number) + text("IssueDate", invoice.date) + text("DueDate", invoice.due_date),
    text("InvoiceTypeCode", "380") + text("DocumentCurrencyCode", currency),
    party("AccountingSupplierParty", invoice.vendor),
    party("AccountingCustomerParty", invoice.buyer),
    `<cac:TaxTotal>${money("TaxAmount", invoice.tax)}</cac:TaxTotal>`,
    `<cac:LegalMonetaryTotal>${money("TaxExclusiveAmount", invoice.subtotal)}${money("TaxInclusiveAmount", invoice.total)}${money("PayableAmount", invoice.total)}</cac:LegalMonetaryTotal>`,
    ...(invoice.lines ?? []).map(line),
    "</Invoice>",
    "",
  ].join("\n");
}

function escaped(value) {
  const names = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return String(value).replace(/[&<>"]/g, (c) => names[c]);
}

function utf8(text) {
  const bytes = unescape(encodeURIComponent(text));
  return Uint8Array.from(bytes, (c) => c.charCodeAt(0));
}

function failed(code, message) {
  return { code, message, retryable: false, retryAfterMs: null, extra: "{}" };
}

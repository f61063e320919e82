//! Invoices that invite a wrong value: balances, other numbers, other dates, misreadings.

use serde_json::json;

use super::layouts::Case;

pub(super) fn traps() -> Vec<Case> {
    vec![
        (
            "paid, nothing due",
            "
Cedar Hosting LLC
Invoice #1009
Invoice date: Jan 2, 2024
Total            $40.00
Amount paid      $40.00
Amount due        $0.00
",
            json!({"number": "1009", "date": "2024-01-02", "total": 40, "currency": "USD"}),
        ),
        (
            "previous balance",
            "
River Water Ltd
Invoice number: W-31
Invoice date: 2 Feb 2024
Previous balance        £55.00
Total new charges       £20.00
Amount due              £75.00
",
            json!({"number": "W-31", "total": 20, "currency": "GBP"}),
        ),
        (
            "purchase order before the invoice number",
            "
Oak Tools Inc.
PO Number: 778812
Order Date: 01/02/2024
Invoice Number: OT-5
Invoice Date: 01/20/2024
Phone: 555-010-9999
Total: $9.99
",
            json!({"number": "OT-5", "date": "2024-01-20", "total": 9.99}),
        ),
        (
            "shipping and discount",
            "
Pine Shop Ltd
Invoice No. 31
Date: 3 March 2024
Subtotal        £100.00
Discount        -£10.00
Shipping          £5.00
VAT              £19.00
Total           £114.00
",
            json!({"subtotal": 100, "tax": 19, "total": 114}),
        ),
        (
            "credit note",
            "
Birch Ltd
Credit Note No: CN-3
Date: 4 April 2024
Net           -£50.00
VAT           -£10.00
Total         -£60.00
",
            json!({"number": "CN-3", "subtotal": -50, "tax": -10, "total": -60}),
        ),
        (
            "two numbers with equal right yield none",
            "
Elm Ltd
Invoice No: 11
Invoice No: 12
Total: £5.00
",
            json!({"number": null, "total": 5}),
        ),
        (
            "only prose",
            "
Thank you for your order. We hope to see you again soon.
Please keep this letter for your records.
",
            json!({"number": null, "date": null, "currency": null, "total": null, "subtotal": null, "tax": null, "lines": null}),
        ),
        (
            "misread labels",
            "
Ash Ltd
lnvoice Nurnber: A-1
lnvoice Date: 4 May 2024
Subtota1: £10.00
T0tal: £10.00
",
            json!({"number": "A-1", "date": "2024-05-04"}),
        ),
        (
            "multi-line description",
            "
Fir Ltd
Invoice No: 8
Description              Qty    Unit Price    Amount
Survey of the roof         1         80.00     80.00
with photographs
Repair                     1         20.00     20.00
Total                                         100.00
",
            json!({"total": 100, "lines": [{"description": "Survey of the roof with photographs"}, {"description": "Repair"}]}),
        ),
    ]
}

pub(super) fn mixed() -> Vec<Case> {
    vec![
        (
            "stripe-like, labels without colons",
            "
Invoice                                                     Acme Cloud, Inc.

Invoice number  8F3A2C1D-0004
Date of issue   October 3, 2023
Date due        November 2, 2023

Acme Cloud, Inc.              Bill to
100 Market St                 Jane Roe
San Francisco, CA 94105       jane@roe.example
billing@acmecloud.example

$49.00 USD due November 2, 2023

Description                Qty       Unit price       Amount
Pro plan                     1           $49.00       $49.00

                               Subtotal               $49.00
                               Total                  $49.00
                               Amount due         $49.00 USD
",
            json!({"vendor": "Acme Cloud, Inc.", "buyer": "Jane Roe", "number": "8F3A2C1D-0004", "date": "2023-10-03", "due_date": "2023-11-02",
            "currency": "USD", "subtotal": 49, "total": 49}),
        ),
        (
            "sums in one row below their labels",
            "
Linden KG
Rechnung
Rechnungsnr.: 771-A          Datum: 12.05.2023
Telefon: 030 1234567
Netto            MwSt. 19%        Gesamtbetrag
100,00 €         19,00 €          119,00 €
",
            json!({"number": "771-A", "date": "2023-05-12", "subtotal": 100, "tax": 19, "total": 119, "currency": "EUR"}),
        ),
        (
            "tax included in the total",
            "
Quick Mart
14/02/2023 18:22
Bread              2.50
Milk               1.50
TOTAL             £4.00
VAT included      £0.67
CASH              £5.00
CHANGE            £1.00
",
            json!({"vendor": "Quick Mart", "date": "2023-02-14", "total": 4, "currency": "GBP"}),
        ),
        (
            "two parties side by side",
            "
From:                               To:
Violet Studio                       Big Client Corp.
3 Elm Street                        9 Low Road
Invoice No: VS-12                   Date: 2024-05-01
Terms: Net 30
Total: €300.00
",
            json!({"vendor": "Violet Studio", "buyer": "Big Client Corp.", "number": "VS-12", "date": "2024-05-01", "due_date": null, "total": 300, "currency": "EUR"}),
        ),
        (
            "new zealand dollars and narrow columns",
            "
Kea Gardens Ltd
GST No: 12-345-678
Tax Invoice No: 204
Date: 5 June 2023
Description    Qty Price   Total
Lawn work      12  40.00  480.00
Subtotal                  480.00
GST 15%                    72.00
Total NZD                 552.00
",
            json!({"number": "204", "currency": "NZD", "subtotal": 480, "tax": 72, "total": 552, "lines": [{"quantity": 12, "unit_price": 40, "amount": 480}]}),
        ),
        (
            "norwegian crowns",
            "
Fjell Sport AS
Org.nr 912 345 678 MVA
Fakturanr: 5567
Fakturadato: 01.02.2023
Forfallsdato: 15.02.2023
Netto                1 600,00
MVA 25%                400,00
Å betale             2 000,00
Kontonr. 1234.56.78901
Alle beløp i NOK
",
            json!({"number": "5567", "date": "2023-02-01", "due_date": "2023-02-15", "currency": "NOK", "subtotal": 1600, "tax": 400, "total": 2000}),
        ),
        (
            "balance only, after a deposit",
            "
Rowan Boats Ltd
Invoice: 77
Date: 3 Mar 2023
Subtotal            £1,000.00
VAT                   £200.00
Total               £1,200.00
Deposit paid          £500.00
Balance due           £700.00
",
            json!({"number": "77", "subtotal": 1000, "tax": 200, "total": 1200}),
        ),
        (
            "no vat",
            "
Holly Tuition
Invoice no. 5
12th January 2024
Four lessons        £80.00
Total to pay        £80.00
",
            json!({"vendor": "Holly Tuition", "number": "5", "date": "2024-01-12", "tax": null, "total": 80}),
        ),
        (
            "words of the total",
            "
Teak House Pvt. Ltd.
Invoice No.: TH/77   Dated: 1-Apr-2023
Total                  ₹ 5,90,000.00
Amount in words: Five lakh ninety thousand only
",
            json!({"number": "TH/77", "date": "2023-04-01", "total": 590_000, "currency": "INR"}),
        ),
    ]
}

//! Invoices: one drawing a layout, one trap a drawing where it can be.

use serde_json::{Value, json};

use super::{assert_fields, traps};

#[test]
fn invoices_are_read_in_many_layouts_and_languages() {
    let mut failures = Vec::new();
    for (name, drawing, expected) in cases() {
        let check = std::panic::catch_unwind(|| assert_fields(name, drawing, &expected));
        if let Err(panic) = check {
            failures.push(panic.downcast_ref::<String>().cloned().unwrap_or_default());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

pub(super) type Case = (&'static str, &'static str, Value);

fn cases() -> Vec<Case> {
    let mut all = english();
    all.extend(european());
    all.extend(asian());
    all.extend(traps::traps());
    all.extend(traps::mixed());
    all
}

fn english() -> Vec<Case> {
    vec![
        (
            "us, labels right, month first",
            "
Northwind Traders Inc.                                     INVOICE
1 Main Street                                   Invoice #: NW-1042
Seattle, WA 98101                               Date: 03/04/2023
                                                Due Date: 04/15/2023
Bill To:
Contoso LLC
22 Oak Avenue
Portland, OR 97201

Description                    Quantity    Unit Price      Amount
Blue widgets                         10         $5.00      $50.00
Red widgets                           2        $12.50      $25.00

                                             Subtotal      $75.00
                                       Sales Tax (8%)       $6.00
                                                Total      $81.00
",
            json!({"vendor": "Northwind Traders Inc.", "buyer": "Contoso LLC", "number": "NW-1042", "date": "2023-03-04",
            "due_date": "2023-04-15", "currency": "USD", "subtotal": 75, "tax": 6, "total": 81,
            "lines": [{"description": "Blue widgets", "quantity": 10, "unit_price": 5, "amount": 50},
                      {"description": "Red widgets", "quantity": 2, "unit_price": 12.5, "amount": 25}]}),
        ),
        (
            "uk, vat number beside invoice number",
            "
Harbour Books Ltd
12 Quay Road, Bristol BS1 4QA
VAT No: GB123456789          Tel: 0117 496 0000

Invoice No: 20231187
Invoice Date: 5 November 2023
Invoice To:
Mrs Ada Marsh
4 Hill Lane

Item                             Qty      Price      Total
Atlas of Birds                     1      30.00      30.00

Net                                               £30.00
VAT @ 20%                                          £6.00
Total Due                                         £36.00
",
            json!({"vendor": "Harbour Books Ltd", "buyer": "Mrs Ada Marsh", "number": "20231187", "date": "2023-11-05",
            "currency": "GBP", "subtotal": 30, "tax": 6, "total": 36}),
        ),
        (
            "labels above their values",
            "
Alder Design Co.

Invoice Number        Invoice Date        Due Date            Amount Due
A-77                  2024-02-01          2024-03-02          $1,250.00

Billed To
Juniper Foods
",
            json!({"vendor": "Alder Design Co.", "buyer": "Juniper Foods", "number": "A-77", "date": "2024-02-01",
            "due_date": "2024-03-02", "total": 1250, "currency": "USD"}),
        ),
        (
            "australian dollars by ABN",
            "
Wattle Supplies Pty Ltd
ABN 51 824 753 556
Tax Invoice 5531
Date: 03/04/2023
Total (ex GST)      $100.00
GST                  $10.00
Total               $110.00
",
            json!({"vendor": "Wattle Supplies Pty Ltd", "number": "5531", "date": "2023-04-03", "currency": "AUD", "tax": 10, "total": 110}),
        ),
        (
            "canadian dollars by tax names",
            "
Maple Hardware Inc.
Invoice: 8842
Date: 2023-06-30
Subtotal            $200.00
GST                  $10.00
QST                  $19.95
Total               $229.95
",
            json!({"number": "8842", "currency": "CAD", "subtotal": 200, "tax": 29.95, "total": 229.95}),
        ),
        (
            "indian gst in two halves",
            "
Lotus Textiles Pvt Ltd
GSTIN: 29ABCDE1234F1Z5
Invoice No: LT/2023-24/118
Date: 14-08-2023
Buyer: Sagar Stores
Description         HSN      Qty     Rate      Amount
Cotton cloth       5208       10   120.00    1,200.00
Taxable Value                               1,200.00
CGST 9%                                       108.00
SGST 9%                                       108.00
Grand Total                             Rs. 1,416.00
",
            json!({"vendor": "Lotus Textiles Pvt Ltd", "buyer": "Sagar Stores", "number": "LT/2023-24/118", "date": "2023-08-14",
            "currency": "INR", "subtotal": 1200, "tax": 216, "total": 1416}),
        ),
        (
            "total on the last page",
            "
Granite Works Ltd
Invoice No: G-9
Date: 1 May 2023
Description            Qty     Unit Price     Amount
Slab                     1         100.00     100.00
Carried forward                               100.00
\u{c}
Description            Qty     Unit Price     Amount
Tile                     2          25.00      50.00
Subtotal                                      150.00
VAT 20%                                        30.00
Total                                     GBP 180.00
",
            json!({"number": "G-9", "currency": "GBP", "subtotal": 150, "tax": 30, "total": 180,
            "lines": [{"description": "Slab", "amount": 100}, {"description": "Tile", "amount": 50}]}),
        ),
    ]
}

fn european() -> Vec<Case> {
    vec![
        (
            "german, delivery date trap",
            "
Muster Handel GmbH
Hauptstraße 5, 10115 Berlin
USt-IdNr.: DE123456789

Rechnungsnummer: RE-2023-0815
Rechnungsdatum: 03.04.2023
Lieferdatum: 28.03.2023
Kundennummer: 40017
Zahlbar bis: 17.04.2023

Pos  Beschreibung            Menge    Einzelpreis      Gesamtpreis
1    Bürostuhl                   2       149,50 €         299,00 €
2    Lampe                       1     1.000,00 €       1.000,00 €

Nettobetrag                                             1.299,00 €
zzgl. 19% MwSt.                                           246,81 €
Gesamtbetrag                                            1.545,81 €
",
            json!({"vendor": "Muster Handel GmbH", "number": "RE-2023-0815", "date": "2023-04-03", "due_date": "2023-04-17",
            "currency": "EUR", "subtotal": 1299, "tax": 246.81, "total": 1545.81,
            "lines": [{"description": "Bürostuhl", "quantity": 2, "unit_price": 149.5, "amount": 299},
                      {"description": "Lampe", "quantity": 1, "unit_price": 1000, "amount": 1000}]}),
        ),
        (
            "french, two rates, siret",
            "
SARL Dupont Fils
SIRET 123 456 789 00012
Facture N° F2023-118
Date de facturation : 12 août 2023
Date d'échéance : 11/09/2023
Client : Mairie de Lyon

Désignation              Quantité     P.U. HT     Montant HT
Pain                          100        1,00         100,00
Vin                            10       10,00         100,00

Total HT                                           200,00 €
TVA 5,5 %                                            5,50 €
TVA 20 %                                            20,00 €
Total TTC                                          225,50 €
",
            json!({"buyer": "Mairie de Lyon", "number": "F2023-118", "date": "2023-08-12", "due_date": "2023-09-11",
            "currency": "EUR", "subtotal": 200, "tax": 25.5, "total": 225.5}),
        ),
        (
            "spanish",
            "
Aceites del Sur S.L.
CIF: B12345678
Factura Nº: 2023/0042
Fecha: 3 de marzo de 2023
Vencimiento: 02/04/2023
Cliente: Bar Pepe

Base imponible                   500,00 €
IVA 21%                          105,00 €
Total factura                    605,00 €
",
            json!({"vendor": "Aceites del Sur S.L.", "buyer": "Bar Pepe", "number": "2023/0042", "date": "2023-03-03",
            "due_date": "2023-04-02", "currency": "EUR", "subtotal": 500, "tax": 105, "total": 605}),
        ),
        (
            "italian",
            "
Officine Rossi S.r.l.
P. IVA 01234567890
Fattura n. 55/2023
Data: 30/06/2023
Scadenza: 31/07/2023
Spett.le
Comune di Pisa

Imponibile                     1.000,00
IVA 22%                          220,00
Totale fattura               € 1.220,00
",
            json!({"vendor": "Officine Rossi S.r.l.", "buyer": "Comune di Pisa", "number": "55/2023", "date": "2023-06-30",
            "due_date": "2023-07-31", "currency": "EUR", "subtotal": 1000, "tax": 220, "total": 1220}),
        ),
        (
            "dutch, order number and order date traps",
            "
FACTUUR                                   Fietsen Jansen B.V.
                                          KvK 12345678
Factuurnummer: 2023771                    BTW NL001234567B01
Factuurdatum: 9 mei 2023                  IBAN NL91ABNA0417164300
Ordernummer: 998877
Besteldatum: 7 mei 2023

Omschrijving            Aantal      Prijs       Bedrag
Fietsbel                     3    € 10,00      € 30,00

Subtotaal                                      € 30,00
BTW 21%                                         € 6,30
Totaal                                         € 36,30
",
            json!({"vendor": "Fietsen Jansen B.V.", "number": "2023771", "date": "2023-05-09", "currency": "EUR",
            "subtotal": 30, "tax": 6.3, "total": 36.3}),
        ),
        (
            "polish",
            "
Faktura VAT nr FV/12/2023
Data wystawienia: 14.02.2023
Data sprzedaży: 10.02.2023
Termin płatności: 28.02.2023
Sprzedawca:                         Nabywca:
Piekarnia Nowak Sp. z o.o.          Hotel Mazur
NIP 1234567890                      NIP 9876543210

Razem netto                 1 000,00 zł
Kwota VAT                     230,00 zł
Razem brutto                1 230,00 zł
Do zapłaty                  1 230,00 zł
",
            json!({"vendor": "Piekarnia Nowak Sp. z o.o.", "buyer": "Hotel Mazur", "number": "FV/12/2023", "date": "2023-02-14",
            "due_date": "2023-02-28", "currency": "PLN", "subtotal": 1000, "tax": 230, "total": 1230}),
        ),
        (
            "portuguese",
            "
Cortiça Real, Lda
NIF: 501234567
Fatura n.º FT 2023/91
Data de emissão: 2 de outubro de 2023
Subtotal            50,00 €
Total IVA           11,50 €
Total               61,50 €
",
            json!({"number": "FT 2023/91", "date": "2023-10-02", "currency": "EUR", "subtotal": 50, "tax": 11.5, "total": 61.5}),
        ),
        (
            "swedish crowns",
            "
Nordljus AB
Org.nr 556677-8899
Fakturanummer: 30112
Fakturadatum: 2023-09-01
Förfallodatum: 2023-10-01
Netto                 8 000,00
Moms 25%              2 000,00
Att betala           10 000,00 kr
",
            json!({"vendor": "Nordljus AB", "number": "30112", "date": "2023-09-01", "due_date": "2023-10-01", "currency": "SEK",
            "subtotal": 8000, "tax": 2000, "total": 10000}),
        ),
        (
            "danish crowns",
            "
Havn Is ApS
CVR-nr. 12345678
Fakturanr.: 771
Fakturadato: 05-06-2023
Betalingsfrist: 19-06-2023
Subtotal             400,00
Moms 25%             100,00
I alt            kr. 500,00
",
            json!({"number": "771", "date": "2023-06-05", "due_date": "2023-06-19", "currency": "DKK", "subtotal": 400, "tax": 100, "total": 500}),
        ),
        (
            "swiss francs, apostrophes",
            "
Alpenblick AG
Rechnung Nr. 4408
Datum: 31.01.2024
Zwischensumme             CHF 1'200.00
MWST 8.1%                 CHF    97.20
Gesamtbetrag              CHF 1'297.20
",
            json!({"vendor": "Alpenblick AG", "number": "4408", "date": "2024-01-31", "currency": "CHF", "subtotal": 1200, "tax": 97.2, "total": 1297.2}),
        ),
        (
            "czech",
            "
Faktura č. 20230055
Dodavatel: Pivo Brno s.r.o.
Odběratel: Jan Novák
Datum vystavení: 1. března 2023
Datum splatnosti: 15.03.2023
Základ daně         1 000,00 Kč
DPH 21%               210,00 Kč
Celkem k úhradě     1 210,00 Kč
",
            json!({"vendor": "Pivo Brno s.r.o.", "buyer": "Jan Novák", "number": "20230055", "date": "2023-03-01", "due_date": "2023-03-15",
            "currency": "CZK", "subtotal": 1000, "tax": 210, "total": 1210}),
        ),
    ]
}

fn asian() -> Vec<Case> {
    vec![
        (
            "japanese, label and value in one word",
            "
請求書
株式会社山田商店 御中
請求番号：INV-0042
発行日：令和6年3月31日
お支払期限：2024年4月30日
                              株式会社鈴木製作所
                              登録番号：T1234567890123
品名              数量      単価        金額
ねじ                10       50         500
小計                                    500
消費税                                   50
合計¥550
",
            json!({"vendor": "株式会社鈴木製作所", "buyer": "株式会社山田商店", "number": "INV-0042", "date": "2024-03-31", "due_date": "2024-04-30",
            "currency": "JPY", "subtotal": 500, "tax": 50, "total": 550}),
        ),
        (
            "chinese, yuan",
            "
销售方：北京光明有限公司
购买方：上海图书馆
发票号码：24312000
开票日期：2024年5月6日
金额合计 ¥100.00
税额 ¥13.00
价税合计 ¥113.00
",
            json!({"vendor": "北京光明有限公司", "buyer": "上海图书馆", "number": "24312000", "date": "2024-05-06", "currency": "CNY", "tax": 13, "total": 113}),
        ),
    ]
}

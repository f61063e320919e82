//! Who sends and who pays: the names of vendor and buyer.
//!
//! A label (`Sold by`, `Bill to`) is the best evidence. Without one, a vendor shows by its
//! legal form, by standing first or largest on the first page, by agreeing with a web or
//! mail domain, and by standing beside registration numbers; a buyer by `御中`, or as the
//! first line of the one address block that is not the vendor's.

use super::labels::{ConceptId, Dictionary};
use super::reading::{Hit, Place, Reading, Row};
use super::text::{fold, has_digit, is_cjk, letters};

/// A name that may be a party's.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) score: f32,
    pub(super) place: Place,
}

/// Finds vendor and buyer; the labels of both are needed to find either.
pub(super) fn find(
    reading: &Reading,
    vendor: ConceptId,
    buyer: ConceptId,
) -> (Option<Candidate>, Option<Candidate>) {
    let scene = Scene::new(reading);
    let bought = best(scene.labelled(buyer, true)).or_else(|| scene.addressed());
    let claimed = scene.claimed();
    let sold = scene.vendor(vendor, bought.as_ref(), &claimed);
    let bought = bought.filter(|b| sold.as_ref().is_none_or(|s| fold(&s.name) != fold(&b.name)));
    let bought = bought.or_else(|| scene.address_block(sold.as_ref(), &claimed));
    (sold, bought)
}

fn best(candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates.into_iter().max_by(|a, b| a.score.total_cmp(&b.score))
}

struct Scene<'a> {
    reading: &'a Reading,
    /// Folded names of web and mail domains, without their ends.
    domains: Vec<String>,
    first_page: u32,
}

const HONORIFICS: [&str; 5] = ["御中", "様", "殿", "宛", "さま"];

impl<'a> Scene<'a> {
    fn new(reading: &'a Reading) -> Self {
        let tokens = reading.rows.iter().flat_map(|r| &r.line.tokens);
        let domains = tokens.filter_map(|t| domain(&t.text)).collect();
        let first_page = reading.rows.first().map_or(1, |r| r.line.page);
        Self { reading, domains, first_page }
    }

    /// Names beside or below the labels of a party.
    fn labelled(&self, concept: ConceptId, buyer: bool) -> Vec<Candidate> {
        let mut found = Vec::new();
        for (row, hit) in self.reading.labelled(concept).filter(|(_, h)| h.quality > 0.75) {
            let strength = if self.reading.rows[row].line.tokens[hit.range.clone()].len() > 1
                || self.reading.rows[row].line.text(hit.range.clone()).chars().count() > 5
            {
                0.9
            } else {
                0.78
            };
            let mut names = self.reading.regions(row, hit).into_iter().filter_map(|region| {
                let place = self.first_cell(&region.place);
                let (name, place) = self.name(&place)?;
                let weight = if region.below { region.weight + 0.1 } else { region.weight };
                Some(Candidate { name, score: strength * hit.quality * weight.min(1.0), place })
            });
            found.extend(names.next().map(|c| self.improved(c, buyer)));
        }
        found
    }

    fn improved(&self, mut candidate: Candidate, buyer: bool) -> Candidate {
        if legal_form(&candidate.name) {
            candidate.score += 0.06;
        }
        if !buyer && self.domain_agrees(&candidate.name) {
            candidate.score += 0.04;
        }
        candidate
    }

    fn first_cell(&self, place: &Place) -> Place {
        let line = &self.reading.rows[place.row].line;
        let end =
            line.cell_of(place.range.start).end.min(place.range.end).max(place.range.start + 1);
        Place { row: place.row, range: place.range.start..end }
    }

    /// The name that some words give, without titles and what follows it.
    fn name(&self, place: &Place) -> Option<(String, Place)> {
        let row = &self.reading.rows[place.row];
        let mut range = place.range.clone();
        let title = |hit: &&Hit| hit.means_any(&["title", "invoice_number"]) && hit.quality > 0.2;
        for hit in row.hits.iter().filter(title) {
            if hit.range.end == range.end && hit.range.start > range.start {
                range.end = hit.range.start;
            } else if hit.range.start == range.start && hit.range.end < range.end {
                range.start = hit.range.end;
            }
        }
        while range.start < range.end && row.line.tokens[range.start].folded.is_empty() {
            range.start += 1;
        }
        let text = row.line.text(range.clone());
        let mut name = text
            .trim_matches(|c: char| " ,;:|*-.".contains(c) && c != '.')
            .trim_end_matches(',')
            .trim();
        for honorific in HONORIFICS {
            name = name.strip_suffix(honorific).map_or(name, str::trim);
        }
        let usable = letters(name) >= 2
            && name.chars().count() < 80
            && !name.starts_with('(')
            && !name.contains(['@', '=', '%'])
            && letters(name) > name.chars().filter(char::is_ascii_digit).count()
            && domain(name).is_none()
            && !row.dates.iter().any(|d| d.range.start < range.end && range.start < d.range.end)
            && !whole_label(row, &range);
        usable.then(|| (name.to_owned(), Place { row: place.row, range }))
    }

    /// Lines that belong to the buyer or the address for shipping.
    fn claimed(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (index, row) in self.reading.rows.iter().enumerate() {
            for hit in
                row.hits.iter().filter(|h| h.quality > 0.75 && h.means_any(&["buyer", "ship_to"]))
            {
                places.extend(self.reading.regions(index, hit).into_iter().map(|r| r.place));
            }
        }
        places
    }

    fn vendor(
        &self,
        concept: ConceptId,
        buyer: Option<&Candidate>,
        claimed: &[Place],
    ) -> Option<Candidate> {
        let mut all = self.labelled(concept, false);
        all.extend(self.letterhead(claimed));
        let buyer_name = buyer.map(|b| fold(&b.name));
        all.retain(|c| Some(fold(&c.name)) != buyer_name);
        best(all).filter(|c| c.score >= 0.4)
    }

    /// Names that no label points to.
    fn letterhead(&self, claimed: &[Place]) -> Vec<Candidate> {
        let heights: Vec<f32> = self.reading.rows.iter().map(|r| r.line.rect.height()).collect();
        let usual = median(heights);
        let first = self.reading.rows.iter().filter(|r| r.line.page == self.first_page);
        let top = first.clone().map(|r| r.line.rect.y0).fold(f32::INFINITY, f32::min);
        let bottom = first.map(|r| r.line.rect.y1).fold(1.0, f32::max);
        let mut names_before = 0;
        let mut found = Vec::new();
        for (index, row) in self.reading.rows.iter().enumerate() {
            for cell in &row.line.cells {
                let place = Place { row: index, range: cell.clone() };
                let Some((name, place)) = self.name(&place) else {
                    continue;
                };
                let prose = row.line.tokens[place.range.clone()].len() > 8;
                if claimed.iter().any(|c| overlaps(c, &place)) || prose || self.addressed_to(&place)
                {
                    continue;
                }
                let depth = (row.line.rect.y0 - top) / (bottom - top).max(1.0);
                let on_first = row.line.page == self.first_page;
                let mut score: f32 = 0.12;
                if legal_form(&name) {
                    score += 0.38;
                }
                if on_first && depth < 0.3 {
                    score += 0.15;
                    let size = row.line.tokens[place.range.start].rect.height() / usual;
                    score += 0.12 * (size - 1.0).clamp(0.0, 1.5);
                    score += [0.14, 0.07, 0.03].get(names_before).copied().unwrap_or(0.0);
                    names_before += 1;
                }
                if self.domain_agrees(&name) {
                    score += 0.2;
                }
                if self.beside_registration(index, &place) {
                    score += 0.22;
                }
                if has_digit(&name) || looks_like_address(&name) {
                    score -= 0.25;
                }
                if row.hits.iter().any(|h| {
                    h.quality > 0.6
                        && h.range.start < place.range.end
                        && place.range.start < h.range.end
                }) {
                    score -= 0.2;
                }
                found.push(Candidate { name, score: score.min(0.85), place });
            }
        }
        found
    }

    fn addressed_to(&self, place: &Place) -> bool {
        let row = &self.reading.rows[place.row];
        let text = row.line.text(row.line.cell_of(place.range.start));
        HONORIFICS.iter().any(|h| text.ends_with(h))
            || row
                .line
                .tokens
                .get(place.range.end)
                .is_some_and(|t| HONORIFICS.contains(&t.text.as_str()))
    }

    /// True where the lines just below give numbers that only a company prints about itself.
    fn beside_registration(&self, row: usize, place: &Place) -> bool {
        let rect = self.reading.rect(place);
        let page = self.reading.rows[row].line.page;
        let near = self.reading.rows.iter().skip(row).take(10).filter(|r| r.line.page == page);
        let mut bottom = rect.y1;
        for under in near {
            if under.line.rect.y0 > bottom + 1.6 * rect.height() {
                break;
            }
            let touches = under.line.rect.x0 < rect.x1 && under.line.rect.x1 > rect.x0;
            if !touches {
                continue;
            }
            bottom = under.line.rect.y1.max(bottom);
            let shared = |h: &&Hit| {
                let r = under.line.rect_of(h.range.clone());
                h.means_any(&["tax_id", "iban"])
                    && (under.line.cells.len() == 1 || (r.x0 - rect.x0).abs() < 6.0 * rect.height())
            };
            if under.hits.iter().any(|h| shared(&h)) {
                return true;
            }
        }
        false
    }

    fn domain_agrees(&self, name: &str) -> bool {
        let folded = fold(name);
        let word = name.split_whitespace().map(fold).find(|w| w.chars().count() > 3);
        self.domains.iter().any(|d| {
            d.len() > 3
                && (folded.contains(d.as_str())
                    || word.as_ref().is_some_and(|w| d.contains(w.as_str())))
        })
    }

    /// A name that an honorific follows, as Japanese letters address their reader.
    fn addressed(&self) -> Option<Candidate> {
        let mut found = Vec::new();
        for (index, row) in self.reading.rows.iter().enumerate() {
            for cell in &row.line.cells {
                let last = &row.line.tokens[cell.end - 1].text;
                let honorific =
                    HONORIFICS.iter().any(|h| last.ends_with(h)) && last.chars().any(is_cjk);
                let alone = cell.len() == 1 && HONORIFICS.contains(&last.as_str());
                let start = if alone && cell.start > 0 {
                    row.line.cell_of(cell.start - 1).start
                } else {
                    cell.start
                };
                let place = Place { row: index, range: start..cell.end };
                if honorific && row.line.text(place.range.clone()).chars().count() < 50 {
                    found.extend(self.name(&place).map(|(name, place)| Candidate {
                        name,
                        score: 0.88,
                        place,
                    }));
                }
            }
        }
        found.into_iter().next()
    }

    /// The first line of the only address block that is not the vendor's.
    fn address_block(&self, vendor: Option<&Candidate>, claimed: &[Place]) -> Option<Candidate> {
        let vendor_name = vendor.map(|v| fold(&v.name));
        let mut found: Vec<Candidate> = Vec::new();
        for (index, row) in self.reading.rows.iter().enumerate().take(40) {
            for cell in &row.line.cells {
                let place = Place { row: index, range: cell.clone() };
                let Some((name, place)) = self.name(&place) else {
                    continue;
                };
                let labelled = row.hits.iter().any(|h| {
                    h.quality > 0.5 && h.range.start < cell.end && cell.start < h.range.end
                });
                if labelled
                    || has_digit(&name)
                    || Some(fold(&name)) == vendor_name
                    || claimed.iter().any(|c| overlaps(c, &place))
                {
                    continue;
                }
                if row.line.page == self.first_page && self.heads_an_address(&place, vendor) {
                    found.push(Candidate { name, score: 0.5, place });
                }
            }
        }
        // Lines inside a block head a shorter one; the first is the name.
        let first = found.first()?.clone();
        let rect = self.reading.rect(&first.place);
        let others = found[1..].iter().any(|c| {
            let r = self.reading.rect(&c.place);
            (r.x0 - rect.x0).abs() > 12.0 || r.y0 > rect.y1 + 5.0 * rect.height()
        });
        (!others).then_some(first)
    }

    /// True where a left-aligned block follows that ends in a postal code and holds nothing
    /// that only the vendor prints.
    fn heads_an_address(&self, place: &Place, vendor: Option<&Candidate>) -> bool {
        let rect = self.reading.rect(place);
        let vendor_name = vendor.map(|v| v.name.as_str());
        let mut bottom = rect.y1;
        let mut lines = 0;
        let mut postal = false;
        let above = self.reading.rows[..place.row].iter().rev().take(6).any(|r| {
            let same =
                r.line.cells.iter().any(|c| (r.line.rect_of(c.clone()).x0 - rect.x0).abs() < 4.0);
            same && rect.y0 - r.line.rect.y1 < 0.9 * rect.height()
                && vendor_name.is_some_and(|v| r.line.text(0..r.line.tokens.len()).contains(v))
        });
        if above {
            return false;
        }
        for row in self.reading.rows.iter().skip(place.row + 1).take(8) {
            let aligned = row
                .line
                .cells
                .iter()
                .find(|c| (row.line.rect_of((*c).clone()).x0 - rect.x0).abs() < 4.0);
            let Some(cell) = aligned else { continue };
            if row.line.rect.y0 > bottom + 1.2 * rect.height() {
                break;
            }
            if row.hits.iter().any(|h| {
                cell.contains(&h.range.start) && h.means_any(&["tax_id", "iban", "phone", "email"])
            }) {
                return false;
            }
            bottom = row.line.rect.y1;
            lines += 1;
            let tokens = &row.line.tokens[cell.clone()];
            postal |= tokens.iter().any(|t| {
                let digits = t.text.chars().filter(char::is_ascii_digit).count();
                (4..=6).contains(&digits)
                    && t.text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == ',')
            }) && tokens.len() > 1;
        }
        postal && (1..=5).contains(&lines)
    }
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(1.0).max(1.0)
}

fn overlaps(a: &Place, b: &Place) -> bool {
    a.row == b.row && a.range.start < b.range.end && b.range.start < a.range.end
}

fn whole_label(row: &Row, range: &std::ops::Range<usize>) -> bool {
    let covered: usize = row
        .hits
        .iter()
        .chain(&row.columns)
        .filter(|h| {
            h.quality > 0.5 && range.contains(&h.range.start) && !h.means_any(&["vendor", "buyer"])
        })
        .map(|h| h.range.len())
        .max()
        .unwrap_or(0);
    covered >= range.len()
}

fn looks_like_address(name: &str) -> bool {
    const WORDS: [&str; 22] = [
        "street",
        "road",
        "avenue",
        "ave",
        "lane",
        "drive",
        "strasse",
        "str",
        "rue",
        "via",
        "calle",
        "straat",
        "weg",
        "platz",
        "ulica",
        "ul",
        "boulevard",
        "blvd",
        "suite",
        "floor",
        "box",
        "www",
    ];
    name.split_whitespace().map(fold).any(|w| {
        WORDS.contains(&w.as_str())
            || w.ends_with("strasse")
            || w.ends_with("straat")
            || w.ends_with("gatan")
    })
}

/// True where a name ends in, or in Japanese and Chinese holds, a legal form.
pub(super) fn legal_form(name: &str) -> bool {
    let known = Dictionary::get();
    if known.legal_forms_cjk.iter().any(|f| name.contains(f.as_str())) {
        return true;
    }
    let words: Vec<&str> = name.split([' ', ',']).filter(|w| !w.is_empty()).collect();
    let mut ends = words.iter().skip(1).rev().take(3);
    ends.any(|w| {
        let capital =
            w.chars().next().is_some_and(char::is_uppercase) || w.contains('.') || *w == "mbh";
        capital && known.legal_forms.contains(&fold(w))
    })
}

/// The telling part of a web or mail domain.
fn domain(text: &str) -> Option<String> {
    let text = text.trim_matches(|c: char| "().,;:<>[]".contains(c)).to_lowercase();
    let web = text.starts_with("www.") || text.starts_with("http") || text.contains('@');
    let host =
        text.rsplit('@').next()?.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split(['/', '?']).next()?;
    let parts: Vec<&str> = host.split('.').collect();
    let (end, names) = parts.split_last()?;
    let plausible = (2..=6).contains(&end.len())
        && end.chars().all(|c| c.is_ascii_alphabetic())
        && names
            .iter()
            .all(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        && (web
            || (["com", "net", "org", "io", "de", "fr", "nl", "it", "es", "eu", "jp", "uk"]
                .contains(end)
                && text.len() > 6));
    let longest = names
        .iter()
        .filter(|n| !["www", "co", "com", "mail", "info"].contains(n))
        .max_by_key(|n| n.len())?;
    plausible.then(|| fold(longest))
}

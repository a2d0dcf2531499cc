//! The tokens of a text with a place among them: the steps that the parsers of both dialects take, and how they go on
//! after a mistake. What the tokens are and what they mean stands in `twin/` and `route/`.
//!
//! After a syntax error the text is read on behind the next AND or OR, so that one look shows every mistake. Nothing is
//! said about what a mistake drags along: a piece that was reported already ([`Role::Wrong`]) is passed in silence, and
//! so is the rest of a parenthesis that was left early.

use crate::{Diagnostic, MAX_DEPTH, Span};

/// A result of reading, or the mistake that stopped it.
pub(crate) type Parsed<T> = Result<T, Diagnostic>;

/// How many findings about one text are told; a text with more is not the language at all.
pub(crate) const MAX_FINDINGS: usize = 20;

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token<K> {
    pub(crate) kind: K,
    pub(crate) span: Span,
}

/// What reading on after a mistake has to know about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// AND, OR: after it a new operand starts.
    Connective,
    /// `)`, `]`, `,`: belongs to a bracket that may have been left early.
    Bracket,
    /// Reported by the lexer.
    Wrong,
    Other,
}

/// A dialect, told by its kinds of token.
pub(crate) trait Grammar: PartialEq + Sized {
    /// The tree that expressions become.
    type Expr;

    /// What stands behind the last token.
    fn end() -> Self;

    fn role(&self) -> Role;

    /// Reads an expression as far as it goes.
    fn expression(tokens: &mut Tokens<'_, Self>) -> Parsed<Self::Expr>;

    /// "Expected this, found that", with advice for known slips.
    fn unexpected(tokens: &Tokens<'_, Self>, what: &str) -> Diagnostic;
}

/// Tokens, the next one of which is [`Self::peek`].
#[derive(Debug)]
pub(crate) struct Tokens<'t, K> {
    text: &'t str,
    list: Vec<Token<K>>,
    end: K,
    at: usize,
    depth: usize,
    /// Nested too deeply: what follows would only repeat that.
    hopeless: bool,
    /// The mistakes so far.
    found: Vec<Diagnostic>,
}

// ---------------------------------------------------------------------------------------------------------------

impl<'t, K: Grammar> Tokens<'t, K> {
    /// The tokens of `text`, and what the lexer found wrong with it.
    pub(crate) fn new(text: &'t str, list: Vec<Token<K>>, found: Vec<Diagnostic>) -> Self {
        Self { text, list, end: K::end(), at: 0, depth: 0, hopeless: false, found }
    }

    pub(crate) fn peek(&self) -> &K {
        self.peek_after(0)
    }

    pub(crate) fn peek_after(&self, steps: usize) -> &K {
        self.list.get(self.at + steps).map_or(&self.end, |token| &token.kind)
    }

    pub(crate) fn at_end(&self) -> bool {
        *self.peek() == self.end
    }

    /// Whether nothing was found wrong so far.
    pub(crate) fn is_fine(&self) -> bool {
        self.found.is_empty()
    }

    /// Where the next token stands; at the end an empty span.
    pub(crate) fn span(&self) -> Span {
        let end = Span::new(self.text.len(), self.text.len());
        self.list.get(self.at).map_or(end, |token| token.span)
    }

    /// Where the token before the next one stands.
    pub(crate) fn last_span(&self) -> Span {
        let before = self.at.checked_sub(1).and_then(|at| self.list.get(at));
        before.map_or(Span::new(0, 0), |token| token.span)
    }

    /// The text of a span.
    pub(crate) fn written(&self, span: Span) -> &'t str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Steps over the next token and says where it stands.
    pub(crate) fn advance(&mut self) -> Span {
        let span = self.span();
        self.at += 1;
        span
    }

    pub(crate) fn eat(&mut self, kind: &K) -> bool {
        let found = self.peek() == kind;
        if found {
            self.at += 1;
        }
        found
    }

    pub(crate) fn expect(&mut self, kind: &K, what: &str) -> Parsed<Span> {
        let span = self.span();
        if self.eat(kind) { Ok(span) } else { Err(K::unexpected(self, what)) }
    }

    pub(crate) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            self.hopeless = true;
            let message = format!("this is nested deeper than {MAX_DEPTH} levels");
            return Err(
                Diagnostic::new(self.span(), message).hint("take parentheses away, or write two conditions")
            );
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Notes a mistake of meaning: what was read is an expression all the same.
    pub(crate) fn note(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Notes a mistake at the next token, unless it only follows from one that the lexer reported.
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        let before = self.at.checked_sub(1).and_then(|at| self.list.get(at));
        let follows = before.into_iter().chain(self.list.get(self.at)).any(|t| t.kind.role() == Role::Wrong);
        if !follows || self.found.is_empty() {
            self.found.push(diagnostic);
        }
    }

    /// What was read, or nothing and a note of why not.
    pub(crate) fn noted<T>(&mut self, read: Parsed<T>) -> Option<T> {
        read.map_err(|diagnostic| self.report(diagnostic)).ok()
    }

    /// Skips to the first token for which `wanted` holds, or to the end.
    pub(crate) fn skip_to(&mut self, wanted: impl Fn(&Self) -> bool) -> bool {
        while !self.at_end() {
            if wanted(self) {
                return true;
            }
            self.at += 1;
        }
        wanted(self)
    }

    /// Reads an expression up to a token for which `ends` holds, or to the end, and notes every mistake on the way.
    /// `what` says what may follow an expression here. With mistakes the answer is the pieces between AND and OR that
    /// could be read, each for itself.
    pub(crate) fn whole_expression(
        &mut self,
        what: &str,
        ends: impl Fn(&Self) -> bool,
    ) -> Result<K::Expr, Vec<K::Expr>> {
        let mut pieces = Vec::new();
        let mut recovering = false;
        loop {
            match K::expression(self) {
                Ok(expr) if self.at_end() || ends(self) => {
                    if !recovering {
                        return Ok(expr);
                    }
                    pieces.push(expr);
                    return Err(pieces);
                }
                // The bracket was opened before the mistake.
                Ok(expr) if recovering && self.peek().role() == Role::Bracket => pieces.push(expr),
                Ok(_) => self.report(K::unexpected(self, what)),
                Err(diagnostic) => self.report(diagnostic),
            }
            recovering = true;
            let found = self.skip_to(|tokens| tokens.peek().role() == Role::Connective || ends(tokens));
            if self.hopeless || !found || ends(self) {
                self.skip_to(ends);
                return Err(pieces);
            }
            self.at += 1;
            // Nothing behind the AND: the mistake before it said enough.
            if self.at_end() || ends(self) {
                return Err(pieces);
            }
        }
    }

    /// What was read, or every mistake in reading order. Who read nothing has reported why.
    pub(crate) fn close<T>(self, read: Option<T>) -> Result<T, Vec<Diagnostic>> {
        match (read, told(self.found)) {
            (Some(read), None) => Ok(read),
            (_, Some(found)) => Err(found),
            (None, None) => {
                let whole = Span::new(0, self.text.len());
                Err(vec![Diagnostic::new(whole, "this text is not understood")])
            }
        }
    }
}

/// Findings in reading order, the first ones of very many; `None` for none.
pub(crate) fn told(mut found: Vec<Diagnostic>) -> Option<Vec<Diagnostic>> {
    found.sort_by_key(|diagnostic| diagnostic.span.start);
    found.dedup();
    found.truncate(MAX_FINDINGS);
    (!found.is_empty()).then_some(found)
}

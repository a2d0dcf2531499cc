//! Reference query-language §6.4 and §6.7, statement by statement: the static types of route conditions, and what every
//! function makes of every kind of argument. The message is that of `reference_routes.rs`.

use hemline_query::route::Engine;

use crate::reference_routes::{NONE, wrong};

const TYPES: &str = "
key1 ?? 12.34 => refused
key1 ?? true => refused
key1 ?? null => refused
12.34 ?? key1 => refused
(as_number(key1) ?? 12.34) = 12.34 => true
(3 % 0 ?? 1) = 1 => true
undefined ?? undefined => undefined
(nothing ?? 'x') = 'x' => undefined
concat() = 'x' => refused
concat('a') = 'x' => refused
concat('a', null) = 'x' => refused
concat('a', undefined) = 'x' => refused
concat('a', true) = 'x' => refused
'a' || null = 'x' => refused
'a' || 1 = 'x' => refused
power(2) = 1 => refused
power(2, 3, 4) = 1 => refused
power(2, key1) = 1 => refused
power(null, 2) = 1 => refused
substring('a') = 'a' => refused
substring('a', 'b') = 'a' => refused
substring('a', 1, 'b') = 'a' => refused
substring(1, 1) = 'a' => refused
as_number(true) = 1 => refused
as_number(null) = 1 => refused
as_number() = 1 => refused
is_bool() => refused
is_null(1, 2) => refused
- (key1) = 1 => refused
- true = 1 => refused
not key1 => refused
not 3 => refused
not undefined => undefined
key1 and true => refused
true and key1 => refused
3 or true => refused
undefined and 'x' => refused
true < false => refused
true = false => false
nope(1) => refused
round(1) = 1 => refused
array_contains($body.l, 1) => refused
twin_change_includes(tags.x) => refused
";

const FUNCTIONS: &str = "
abs(-12) = 12 => true
abs($body.neg) = 50.4 => true
abs(3 / 0) = 3 / 0 => true
ceiling(2.1) = 3 => true
ceiling(-2.1) = -2 => true
exp(0) = 1 => true
abs(exp(1) - 2.718281) < 1e-6 => true
exp(4000) = 3 / 0 => true
floor(2.1) = 2 => true
floor(-2.1) = -3 => true
power(2, 3) = 8 => true
POWER(10, 4000) = 3 / 0 => true
sign(0) = 0 => true
sign(2.1) = 1 => true
sign(-3 / 0) = -1 => true
square(-3) = 9 => true
sqrt(4) = 2 => true
sqrt(-4) = -2 => undefined
as_number('3') = 3 => true
as_number(' 3 ') = 3 => true
as_number('10e10') = 10e10 => true
as_number('10e1000') = 1 / 0 => true
as_number('10000000000000000000000000') = 1e25 => true
as_number(as_number(4)) = 4 => true
as_number(key1) = 3 => undefined
as_number('') = 0 => undefined
as_number('0x10') = 16 => undefined
as_number(none) = 3 => undefined
as_number(nothing) = 3 => undefined
as_number($body.n) = 50 => true
as_number($body.t) = 1 => undefined
is_bool(true) => true
is_bool(12.34) => false
is_bool(none) => false
is_bool($body.f) => true
is_defined(undefined) => false
is_defined(key1) => true
is_defined(none) => false
is_defined(nothing) => true
is_defined(null) => true
is_defined(10e1000) => true
is_defined(undefined and true) => false
is_null(null) => true
is_null(nothing) => true
is_null(none) => false
is_null(12.34) => false
is_null(3 % 0) => false
is_null($body.z) => true
is_null($body.missing) => true
is_null($body.n) => false
is_number(12.34) => true
is_number('12') => false
is_number(3 / 0) => false
is_number(as_number(key1)) => false
is_number($body.n) => true
is_string('x') => true
is_string(none) => false
is_string(nothing) => false
is_string('a' || 'b') => true
is_string($body.s) => true
concat('a', 'b', 'c', 'd') = 'abcd' => true
concat('a', key1, 'd') = 'avalue1d' => true
concat('a', nothing, 'd') = 'ad' => true
concat('a', $body.missing) = 'a' => true
is_defined(concat('a', none)) => false
is_defined(concat('a', $body.n)) => false
'a' || nothing || 'd' = 'ad' => true
is_defined('a' || none || 'd') => false
concat('a', 'b') = concat('a', 'b') => true
concat(concat('a', 'b'), lower('C'), 'd' || 'e') = 'abcde' => true
length('HELLO') = 5 => true
length('') = 0 => true
length(key1 || Big) = 11 => true
lower('HELLO') = 'hello' => true
lower('hello') = 'hello' => true
lower(key1) = key1 => true
upper(key1) = 'VALUE1' => true
upper(lower(Big)) = Big => true
substring('abc', 1) = 'bc' => true
substring('abc', 3) = '' => true
substring('abc', 4) = 'c' => undefined
substring('abc', -1) = '' => undefined
substring('abc', 1 % 0) = '' => undefined
substring('abc', 1.5) = '' => undefined
substring('abc', 1, 1) = 'b' => true
substring('abc', 1, 0) = '' => true
substring('abc', 1, 5) = 'bc' => undefined
substring('abc', 1, -2) = '' => undefined
substring(nothing, 1) = 'a' => undefined
substring($body.s, length($body.s) - 2) = 'xt' => true
index_of('abcdef', 'cd') = 2 => true
index_of('abc', 'xz') = -1 => true
index_of('lue1value1', key1) = 4 => true
starts_with(key1, 'val') => true
starts_with('abc', 'xz') => false
startswith(key1, 'val') => true
ends_with(key1, 'e1') => true
endswith(key1, 'e1') => true
ends_with('abc', key1) => false
contains(key1, 'lue') => true
contains('abc', 'xz') => false
starts_with(none, '1') => undefined
";

#[test]
fn static_types() {
    let mut table = String::new();
    for operator in ["+", "-", "*", "/", "%"] {
        for pair in [
            ("3", "none"),
            ("none", "3"),
            ("true", "3"),
            ("3", "true"),
            ("3", "undefined"),
            ("undefined", "3"),
            ("undefined", "undefined"),
            ("'a'", "'b'"),
            ("3", "null"),
            ("null", "null"),
        ] {
            table.push_str(&format!("is_defined({} {operator} {}) => refused\n", pair.0, pair.1));
        }
        table.push_str(&format!("is_defined(3 {operator} as_number(none)) => false\n"));
        table.push_str(&format!("is_defined($body.n {operator} $body.s) => false\n"));
        table.push_str(&format!("is_defined($body.n {operator} 3) => true\n"));
    }
    for operator in ["=", "!=", "<>", "<", "<=", ">", ">="] {
        for pair in [
            ("3", "none"),
            ("none", "3"),
            ("3", "true"),
            ("none", "null"),
            ("none", "undefined"),
            ("'a'", "1"),
        ] {
            table.push_str(&format!("is_defined({} {operator} {}) => refused\n", pair.0, pair.1));
        }
        table.push_str(&format!("undefined {operator} undefined => undefined\n"));
        table.push_str(&format!("is_defined(as_number(none) {operator} 3) => false\n"));
        table.push_str(&format!("is_defined($body.n {operator} 'x') => true\n"));
    }
    for function in ["abs", "ceiling", "exp", "floor", "sign", "square", "sqrt"] {
        for argument in ["null", "undefined", "true", "key1", "'x'", "3, 3", ""] {
            table.push_str(&format!("is_defined({function}({argument})) => refused\n"));
        }
        table.push_str(&format!("is_defined({function}(as_number(key1))) => false\n"));
        table.push_str(&format!("is_defined({function}($body.s)) => false\n"));
        table.push_str(&format!("is_defined({function}($body.missing)) => false\n"));
        table.push_str(&format!("is_defined({function}(3 % 0)) => false\n"));
        table.push_str(&format!("is_defined({function}(3 / 0)) => true\n"));
    }
    for function in ["index_of", "starts_with", "ends_with", "contains"] {
        for arguments in [
            "",
            "'a'",
            "'a', 'b', 'c'",
            "'a', 1",
            "1, 'a'",
            "null, 'a'",
            "'a', null",
            "undefined, 'a'",
            "true, 'a'",
        ] {
            table.push_str(&format!("is_defined({function}({arguments})) => refused\n"));
        }
        for arguments in ["nothing, '1'", "none, '1'", "$body.n, '1'", "'1', $body.missing"] {
            table.push_str(&format!("is_defined({function}({arguments})) => false\n"));
        }
    }
    for function in ["length", "lower", "upper"] {
        for argument in ["12.34", "null", "undefined", "true", "", "'a', 'b'"] {
            table.push_str(&format!("is_defined({function}({argument})) => refused\n"));
        }
        for argument in ["nothing", "none", "$body.n", "$body.o", "$body.missing"] {
            table.push_str(&format!("is_defined({function}({argument})) => false\n"));
        }
    }
    table.push_str(TYPES);
    assert_eq!(NONE, wrong(Engine::Edge, &table));
}

#[test]
fn functions() {
    assert_eq!(NONE, wrong(Engine::Edge, FUNCTIONS));
}

import crypto from 'crypto';
import fs from 'fs';

// What Sidetap's entries say of a request, for nginx with njs 0.7.1 and later: `$st_do` is the strongest response that stands for it, by
// its address, the fingerprints of its agent and head (`a1`, `d1`, `s2`, docs/fingerprints.md), one header, and with the site's key the keyed
// hashes of its session and API key. Entries are looked up in a folder ($st_entries) for each request, so that a change needs no reload.
// Whatever goes wrong here gives an empty text, and the request goes on.
// Numbers of 64 bits are lists of four 16-bit limbs, the lowest first.

const BASIS = [0x2325, 0x8422, 0x9ce4, 0xcbf2];
const GOLDEN = [0x7c15, 0x7f4a, 0x79b9, 0x9e37];
const FIRST = [0x8ccd, 0xed55, 0xafd7, 0xff51];
const SECOND = [0xec53, 0x1a85, 0xb9fe, 0xc4ce];

// Bytes that one fingerprint, and that all hashed secrets of a request, are made of: clients choose how long all is, and what is longer is
// nobody's. What goes into no hash is not counted: that would be a way by.
const MOST_PRINT = 1536;
const MOST_SECRET = { 'session': 4096, 'api-key': 1024 };
// Values of one cookie or header that are compared besides the last: applications take the first or the last.
const MOST_VALUES = 8;

function times(a, b) {
    const a0 = a[0], a1 = a[1], a2 = a[2], b0 = b[0], b1 = b[1], b2 = b[2];
    const p0 = a0 * b0;
    const p1 = a0 * b1 + a1 * b0 + (p0 / 65536 | 0);
    const p2 = a0 * b2 + a1 * b1 + a2 * b0 + (p1 / 65536 | 0);
    const p3 = a0 * b[3] + a1 * b2 + a2 * b1 + a[3] * b0 + (p2 / 65536 | 0);
    return [p0 & 65535, p1 & 65535, p2 & 65535, p3 & 65535];
}

// a ^ a >> 33
function folded(a) {
    return [a[0] ^ (a[2] >> 1 | a[3] << 15 & 65535), a[1] ^ a[3] >> 1, a[2], a[3]];
}

function finish(h) {
    return folded(times(folded(times(folded(h), FIRST)), SECOND));
}

function word(h, w) {
    const a = times([h[0] ^ w[0], h[1] ^ w[1], h[2] ^ w[2], h[3] ^ w[3]], GOLDEN);
    // a ^ a >> 29
    return [a[0] ^ (a[1] >> 13 | a[2] << 3 & 65535), a[1] ^ (a[2] >> 13 | a[3] << 3 & 65535), a[2] ^ a[3] >> 13, a[3]];
}

// Bytes one by one, with a byte 0xff after them: times 0x100000001b3, in halves of 32 bits.
function bytes(h, all) {
    const size = all.length;
    let low = h[0] + h[1] * 65536, high = h[2] + h[3] * 65536;
    for (let i = 0; i <= size; i++) {
        low = (low ^ (i < size ? all[i] : 255)) >>> 0;
        const product = low * 0x1b3;
        high = (high * 0x1b3 + (product / 4294967296 | 0) + (low << 8 >>> 0)) % 4294967296;
        low = product % 4294967296;
    }
    return [low & 65535, low >>> 16, high & 65535, high >>> 16];
}

// Bytes eight at a time, with their number.
function text(h, all) {
    const size = all.length, whole = size - size % 8;
    const g0 = GOLDEN[0], g1 = GOLDEN[1], g2 = GOLDEN[2], g3 = GOLDEN[3];
    let h0 = h[0], h1 = h[1], h2 = h[2], h3 = h[3];
    for (let i = 0; i < whole; i += 8) {
        // As `word`, without a list for each.
        h0 ^= all[i] | all[i + 1] << 8;
        h1 ^= all[i + 2] | all[i + 3] << 8;
        h2 ^= all[i + 4] | all[i + 5] << 8;
        h3 ^= all[i + 6] | all[i + 7] << 8;
        const p0 = h0 * g0;
        const p1 = h0 * g1 + h1 * g0 + (p0 / 65536 | 0);
        const p2 = h0 * g2 + h1 * g1 + h2 * g0 + (p1 / 65536 | 0);
        h3 = h0 * g3 + h1 * g2 + h2 * g1 + h3 * g0 + (p2 / 65536 | 0) & 65535;
        h0 = p0 & 65535 ^ (p1 >> 13 & 7 | p2 << 3 & 65535);
        h1 = p1 & 65535 ^ (p2 >> 13 & 7 | h3 << 3 & 65535);
        h2 = p2 & 65535 ^ h3 >> 13;
    }
    const at = (i) => (i < size ? all[i] : 0);
    const limb = (i) => at(whole + i) | at(whole + i + 1) << 8;
    return word([h0, h1, h2, h3], [limb(0), limb(2), limb(4), limb(6) ^ (size & 255) << 8]);
}

function hex(h) {
    return [3, 2, 1, 0].map((i) => ('000' + h[i].toString(16)).slice(-4)).join('');
}

// Fields that come and go by request, or that hops add; and fields between two hops, which a balancer takes for itself.
const LEFT_OUT = {}, BETWEEN = {};
['sec-fetch-user', 'referer', 'cookie', 'if-none-match', 'if-modified-since', 'if-match', 'if-range',
    'content-length', 'transfer-encoding', 'authorization', 'expect', 'range', 'date', 'traceparent', 'tracestate',
    'x-request-id', 'x-correlation-id', 'x-amzn-trace-id', 'x-b3-traceid', 'x-b3-spanid', 'x-forwarded-for', 'forwarded',
    'x-real-ip', 'true-client-ip', 'cf-connecting-ip', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port', 'via',
].forEach((name) => { LEFT_OUT[name] = true; });
['connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade', 'trailer'].forEach((name) => { BETWEEN[name] = true; });

// The bytes of a header, by the name of its variable.
function given(r, name, otherwise) {
    const value = r.rawVariables['http_' + name];
    return value === undefined || value === null ? Buffer.from(otherwise) : value;
}

// The bytes of these headers, `-` for one that is not there; nothing where they are long.
function values(r, names) {
    const all = names.map((name) => given(r, name, '-'));
    return all.reduce((size, value) => size + value.length, 0) > MOST_PRINT ? undefined : all;
}

// The media type alone.
function media(value) {
    const end = value.indexOf(';');
    return end < 0 ? value : value.slice(0, end);
}

// The names of a head in their order, as `spell` gives them, or nothing where they are long; names that are left out are none.
function names(r, spell) {
    let h = BASIS, size = 0;
    const fields = r.rawHeadersIn;
    for (let i = 0; i < fields.length && size <= MOST_PRINT; i++) {
        const name = fields[i][0], low = name.toLowerCase(), spelled = has(LEFT_OUT, low) ? '' : spell(name, low);
        // A short name costs as much as eight bytes do.
        size += spelled === '' ? 0 : 8 + spelled.length;
        h = spelled === '' || size > MOST_PRINT ? h : text(h, Buffer.from(spelled));
    }
    return size > MOST_PRINT ? undefined : h;
}

function agent(r) {
    const own = given(r, 'user_agent', ''), language = given(r, 'accept_language', '');
    return own.length + language.length > MOST_PRINT ? '' : 'a1-' + hex(finish(bytes(bytes(BASIS, own), language)));
}

function head(r) {
    const all = values(r, ['accept', 'accept_encoding', 'connection', 'content_type']);
    const order = all === undefined ? undefined : names(r, (name) => name);
    if (order === undefined) {
        return '';
    }
    const h = word(all.slice(0, 3).reduce(text, BASIS), finish(order));
    const shape = finish(text(h, media(all[3])));
    // How a JSON body is spaced goes in too, and bodies are not read here: as if it were written without spaces.
    return 's2-' + hex(finish(word(word(BASIS, shape), [0, 0, 0, 0])));
}

function door(r) {
    const all = values(r, ['accept', 'accept_encoding', 'content_type']);
    const order = all === undefined ? undefined : names(r, (name, low) => has(BETWEEN, low) ? '' : low.slice(0, 32));
    return order === undefined ? '' : 'd1-' + hex(finish(text(text(text(order, all[0]), all[1]), media(all[2]))));
}

// What shows that a browser was asked: of one address and agent, for this hour or the last.
function pass(r, hours) {
    const hour = Math.floor(Date.now() / 3600000) - hours;
    const text = [hour, r.variables.remote_addr, r.headersIn['User-Agent'] || ''].join('|');
    return crypto.createHmac('sha256', r.variables.st_secret).update(text).digest('hex').slice(0, 32);
}

// The header that is named in $st_header_name, by its name and value as an entry spells them.
function header(r) {
    const name = r.variables.st_header_name, value = r.headersIn[name];
    if (value === undefined || value.length > 512) {
        return '';
    }
    let out = 'header:' + name + '=';
    Buffer.from(value).forEach((byte) => {
        const c = String.fromCharCode(byte);
        out += /[A-Za-z0-9._~\/-]/.test(c) ? c : '%' + ('0' + byte.toString(16).toUpperCase()).slice(-2);
    });
    return 'header-' + crypto.createHash('sha256').update(out).digest('hex').slice(0, 32);
}

// SipHash-2-4 with 128 bits, of which the upper half; words are halves of 32 bits, the lower one first.
function siphash(key, all) {
    let al = key[0] ^ 0x70736575, ah = key[1] ^ 0x736f6d65, bl = key[2] ^ 0x6e646f6d ^ 0xee, bh = key[3] ^ 0x646f7261;
    let cl = key[0] ^ 0x6e657261, ch = key[1] ^ 0x6c796765, dl = key[2] ^ 0x79746573, dh = key[3] ^ 0x74656462;
    const size = all.length, whole = size - size % 8;
    const at = (i) => (i < size ? all[i] : 0);
    for (let i = 0; i < whole + 24; i += 8) {
        // The words, and then two times four rounds.
        let ml = 0, mh = 0, rounds = 2, low;
        if (i < whole) {
            ml = all[i] | all[i + 1] << 8 | all[i + 2] << 16 | all[i + 3] << 24;
            mh = all[i + 4] | all[i + 5] << 8 | all[i + 6] << 16 | all[i + 7] << 24;
        } else if (i === whole) {
            ml = at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24;
            mh = at(i + 4) | at(i + 5) << 8 | at(i + 6) << 16 | size << 24;
        } else {
            rounds = 4;
            if (i === whole + 8) { cl ^= 0xee; } else { bl ^= 0xdd; }
        }
        dl ^= ml;
        dh ^= mh;
        while (rounds-- > 0) {
            low = (al >>> 0) + (bl >>> 0); ah = (ah + bh + (low > 4294967295 ? 1 : 0)) | 0; al = low | 0;
            low = (bl << 13 | bh >>> 19) ^ al; bh = (bh << 13 | bl >>> 19) ^ ah; bl = low;
            low = al; al = ah; ah = low;
            low = (cl >>> 0) + (dl >>> 0); ch = (ch + dh + (low > 4294967295 ? 1 : 0)) | 0; cl = low | 0;
            low = (dl << 16 | dh >>> 16) ^ cl; dh = (dh << 16 | dl >>> 16) ^ ch; dl = low;
            low = (al >>> 0) + (dl >>> 0); ah = (ah + dh + (low > 4294967295 ? 1 : 0)) | 0; al = low | 0;
            low = (dl << 21 | dh >>> 11) ^ al; dh = (dh << 21 | dl >>> 11) ^ ah; dl = low;
            low = (cl >>> 0) + (bl >>> 0); ch = (ch + bh + (low > 4294967295 ? 1 : 0)) | 0; cl = low | 0;
            low = (bl << 17 | bh >>> 15) ^ cl; bh = (bh << 17 | bl >>> 15) ^ ch; bl = low;
            low = cl; cl = ch; ch = low;
        }
        al ^= ml;
        ah ^= mh;
    }
    const word = (w) => ('0000000' + (w >>> 0).toString(16)).slice(-8);
    return word(ah ^ bh ^ ch ^ dh) + word(al ^ bl ^ cl ^ dl);
}

// The site's key as words; nothing without one.
function site_key(r) {
    const found = /^sidetap-key-v1:([0-9a-f]{32})$/.exec(r.variables.st_hash_key || '');
    const word = (i) => parseInt(found[1].substr(i, 8).replace(/(..)(..)(..)(..)/, '$4$3$2$1'), 16);
    return found === null ? undefined : [0, 8, 16, 24].map(word);
}

// A value with its escapes undone once, as applications undo them: a text, or bytes where some are no text.
function unescaped(value) {
    if (!/%[89a-f][0-9a-f]/i.test(value)) {
        return value.replace(/%([0-7][0-9a-fA-F])/g, (all, digits) => String.fromCharCode(parseInt(digits, 16)));
    }
    const all = Buffer.from(value), out = [], digit = (i) => parseInt(String.fromCharCode(all[i]), 16);
    for (let i = 0; i < all.length; i++) {
        const escaped = all[i] === 37 && i + 2 < all.length ? digit(i + 1) * 16 + digit(i + 2) : NaN;
        out.push(escaped === escaped ? escaped : all[i]);
        i += escaped === escaped ? 2 : 0;
    }
    return Buffer.from(out);
}

// What of a value is hashed: without quotes around, its escapes undone, and of a JWT its signature; nothing of what is too short or long.
function plain(value) {
    value = value.trim();
    if (value.length < 8 || value.length > 4 * 4096) {
        return '';
    }
    value = value.replace(/^"(.*)"$/, '$1');
    value = value.indexOf('%') < 0 ? value : unescaped(value);
    if (typeof value !== 'string' || value.length > 4096) {
        return value.length > 4096 ? '' : value;
    }
    const signed = /^eyJ[^.]*\.[^.]*\.([^.]{16,})$/.exec(value);
    return value.length < 8 ? '' : signed === null ? value : signed[1];
}

// The names that a variable lists, with spaces between.
function listed(r, variable) {
    return (r.variables[variable] || '').split(/[ ,]+/).filter((name) => name !== '').slice(0, 4);
}

// The first values of a cookie, and the last, which is looked for in ever longer ends of the field.
function cookies(r, name) {
    const all = r.headersIn['Cookie'] || '', found = [];
    const one = new RegExp('(?:^|[;,])\\s*' + name.replace(/[^A-Za-z0-9_-]/g, '\\$&') + '\\s*=([^;]{8,})', 'gi');
    let match, last = '';
    while (found.length < MOST_VALUES && (match = one.exec(all)) !== null) {
        found.push(match[1]);
    }
    for (let end = 512; last === '' && found.length === MOST_VALUES; end *= 2) {
        for (one.lastIndex = Math.max(0, all.length - end); (match = one.exec(all)) !== null;) {
            last = match[1];
        }
    }
    return found.concat(last);
}

// The first values of a header, and the last; nginx has those of several lines as one text, with commas between.
function keys(r, name) {
    const value = r.headersIn[name] || '';
    if (value.indexOf(',') < 0) {
        return [value];
    }
    const parts = value.split(',', MOST_VALUES).concat(value.slice(value.lastIndexOf(',') + 1));
    return value.length > 512 ? parts : parts.concat(value);
}

function credential(r) {
    const found = /^(\S+)\s*(.*)$/.exec((r.headersIn['Authorization'] || '').trim());
    return found === null ? '' : found[2] || found[1];
}

// The keyed hashes of all values, as entries name them: short ones first, so that a long one beside them is no way by.
function hashed(r, domain, all) {
    const key = site_key(r), seen = {};
    let left = MOST_SECRET[domain];
    if (key === undefined) {
        return [];
    }
    return all.map(plain).filter((value) => value !== '').sort((a, b) => a.length - b.length).map((value) => {
        const is_text = typeof value === 'string', name = is_text ? value : '%' + value.toString('hex');
        const fresh = !has(seen, name);
        const secret = is_text ? Buffer.from(domain + '\0' + value) : Buffer.concat([Buffer.from(domain + '\0'), value]);
        seen[name] = true;
        left -= fresh ? value.length : 0;
        return fresh && left >= 0 && secret.length <= 4096 + 8 ? domain + '-' + siphash(key, secret) : '';
    });
}

// All values of the cookies or headers that a variable names.
function gathered(r, variable, values) {
    let all = [];
    listed(r, variable).forEach((name) => { all = all.concat(values(r, name)); });
    return all;
}

// What may be a key: the headers that $st_key_header names, and the credential.
function all_keys(r) {
    return [credential(r)].concat(gathered(r, 'st_key_header', keys));
}

// What may be a session: besides these the cookies that $st_session_cookie names.
function all_sessions(r) {
    return all_keys(r).concat(gathered(r, 'st_session_cookie', cookies));
}

// What a request shows of each kind, as the names of files spell it.
const SHOWN = {
    'a1': (r) => [agent(r)],
    'd1': (r) => [door(r)],
    's2': (r) => [head(r)],
    'header': (r) => [header(r)],
    'session': (r) => hashed(r, 'session', all_sessions(r)),
    'api-key': (r) => hashed(r, 'api-key', all_keys(r)),
};

// The bytes of the client's address: four, or sixteen.
function address(r) {
    const all = r.rawVariables.binary_remote_addr;
    const mapped = all.length === 16 && all[10] === 255 && all[11] === 255 && all.slice(0, 10).every((b) => b === 0);
    return mapped ? all.slice(12) : all;
}

// The first bits of an address.
function first(bytes, bits) {
    let out = '';
    for (let i = 0; i < bytes.length; i++) {
        const left = bits - 8 * i;
        const keep = left >= 8 ? 255 : left <= 0 ? 0 : (255 << (8 - left)) & 255;
        out += ('0' + (bytes[i] & keep).toString(16)).slice(-2);
    }
    return out;
}

// The fingerprint of Sidetap's own canary, by which it asks whether entries have an effect, often from an address that is never refused.
const CANARY = 'a1-cfe2278968d211cb';

const RANK = { 'tag': 1, 'rate-limit': 2, 'tarpit': 3, 'challenge': 4, 'geo-fence': 5, 'deceive': 6, 'block': 7 };

function has(table, name) {
    return Object.prototype.hasOwnProperty.call(table, name);
}

// What `compute` gives, or `otherwise` where it fails: one odd file or line stands for nothing, and the others hold.
function tried(compute, otherwise) {
    try {
        return compute();
    } catch (e) {
        return otherwise;
    }
}

// Whether there is a file of that name: what waits to be written to would be waited for.
function exists(path) {
    const about = fs.statSync(path, { throwIfNoEntry: false });
    return about !== undefined && about.isFile();
}

function lines(path) {
    return exists(path) ? fs.readFileSync(path, 'utf8').split('\n') : [];
}

// The name of the network of a form (`4-24`) that an address is in; nothing where the form is none.
function network(bytes, form) {
    const net = /^([46])-([0-9]{1,3})$/.exec(form);
    return net === null || bytes.length !== (net[1] === '4' ? 4 : 16) ? '' : form + '-' + first(bytes, Number(net[2]));
}

// The names that a request goes by of a kind that there are files of; `known` has what was found of a kind, which is hashed once.
function called(r, bytes, form, known) {
    const here = form[0] === '+', kind = here ? form.slice(1) : form;
    if (!has(SHOWN, kind)) {
        return [network(bytes, form)].filter((name) => name !== '');
    }
    if (!has(known, kind)) {
        known[kind] = tried(() => SHOWN[kind](r).filter((name) => name !== ''), []);
    }
    return here ? known[kind].map((name) => first(bytes, 128) + '+' + name) : known[kind];
}

// Whether the never-block list has a client's address: an empty file for each network of Sidetap's, and lines of `allow` by hand.
function allowed(bytes, forms, folder) {
    const listed = forms.some((form) => {
        const net = form.slice(0, 6) === 'allow-' ? network(bytes, form.slice(6)) : '';
        return net !== '' && exists(folder + 'allow-' + net);
    });
    return listed || lines(folder + 'allow').some((line) => tried(() => covers(line, bytes), false));
}

// Whether a line of `allow` has an address.
function covers(line, bytes) {
    const net = /^([0-9a-fA-F.:]+)(\/([0-9]+))?( |$)/.exec(line);
    if (net === null) {
        return false;
    }
    const other = parsed(net[1]), bits = net[3] === undefined ? 128 : Number(net[3]);
    return other.length === bytes.length && first(other, bits) === first(bytes, bits);
}

// The bytes of a written address.
function parsed(text) {
    if (text.indexOf(':') < 0) {
        return text.split('.').map(Number);
    }
    const halves = text.split('::').map((half) => half === '' ? [] : half.split(':'));
    const left = halves[0], right = halves.length > 1 ? halves[1] : [];
    const groups = left.concat(Array(8 - left.length - right.length).fill('0'), right);
    const out = [];
    groups.forEach((group) => {
        const n = parseInt(group, 16);
        out.push(n >> 8, n & 255);
    });
    return out;
}

// How strong what a line says is: its response, how hard the rule's way of it is on who is acted against (few requests in a time, a long
// delay), and whether it is for a place.
function strength(response, how, place) {
    const rate = response === 'rate-limit' ? /^([0-9]+)\/([0-9]+)$/.exec(how) : null;
    const hard = rate !== null ? Number(rate[2]) / Math.max(Number(rate[1]), 1) : response === 'tarpit' ? Number(how) || 0 : 0;
    return [RANK[response], how === '' ? 0 : 1 + hard, place === '-' ? 0 : 1];
}

// Whether the first of two strengths that differ is the greater one.
function greater(a, b) {
    const at = a.findIndex((n, i) => n !== b[i]);
    return at >= 0 && a[at] > b[at];
}

// A path as applications read it: escapes undone, then empty and dot parts gone.
function normal(path) {
    const decoded = path.replace(/%([0-9a-fA-F]{2})/g, (all, digits) => String.fromCharCode(parseInt(digits, 16)));
    const parts = [];
    decoded.split('/').forEach((part) => {
        if (part === '..') {
            parts.pop();
        } else if (part !== '' && part !== '.') {
            parts.push(part);
        }
    });
    return '/' + parts.join('/');
}

// The path of a request in all ways in which it may be meant, which its target says: nginx undoes escapes first, others take parameters off
// first, so that an escaped slash in one (`/login;a%2fb`) makes that another path; an escaped backslash is a slash to some
// (IIS), and a letter to others (`/users/CORP%5Cjdoe`); and what is behind two slashes (`//x/login`) is a host to who reads the target as a part
// of a URL (RFC 3986 §4.2).
function readings(uri, target) {
    const path = target.split('?')[0], all = [uri], slashed = path.replace(/%5c/gi, '/');
    const raw = slashed === path ? [path] : [path, slashed];
    const behind = raw.filter((read) => read.slice(0, 2) === '//').map((read) => read.replace(/^\/+[^\/]*/, ''));
    raw.concat(behind).forEach((read, i) => {
        if (i > 0) {
            all.push(normal(read));
        }
        if (read.indexOf(';') >= 0 && /%2f/i.test(read)) {
            all.push(normal(read.replace(/;[^\/]*/g, '')));
        }
    });
    return all;
}

// Whether a request is at the place of a pattern.
function is_at(r, pattern) {
    const before = r.method + ',' + r.variables.host;
    return readings(r.variables.uri, r.variables.request_uri).some((path) => pattern.test(before + path));
}

// What a line says of a request, where that is stronger than `best`, or else that. It is `RESPONSE END PLACE …`, RESPONSE with `=HOW` where
// the rule says how: END in seconds since 1970 or 0, PLACE a pattern of method, host and path or `-`.
function stronger(r, line, now, best) {
    const words = line.split(' '), said = words[0].split('='), end = Number(words[1] || 0), place = words[2] || '-';
    if (!has(RANK, said[0]) || end !== 0 && end <= now) {
        return best;
    }
    const mine = strength(said[0], said[1] || '', place);
    if (best.what !== '' && !greater(mine, best.strength)) {
        return best;
    }
    return place === '-' || is_at(r, new RegExp(place)) ? { what: words[0], strength: mine } : best;
}

// The strongest response that stands for a request, or nothing.
function look(r) {
    try {
        const folder = r.variables.st_entries, now = Date.now() / 1000, bytes = address(r), forms = lines(folder + 'forms');
        const known = {};
        let best = { what: '', strength: [] }, canary = false;
        forms.forEach((form) => called(r, bytes, form, known).forEach((file) => {
            canary = canary || file === CANARY;
            tried(() => lines(folder + file), []).forEach((line) => {
                best = tried(() => stronger(r, line, now, best), best);
            });
        }));
        return best.what !== '' && !canary && allowed(bytes, forms, folder) ? '' : best.what;
    } catch (e) {
        return '';
    }
}

// '1' where a request is to solve a challenge and has not yet.
function ask(r) {
    try {
        if (r.variables.st_do !== 'challenge' || r.variables.st_secret.length < 16) {
            return '';
        }
        const shown = r.variables.cookie_st_pass;
        return shown && (shown === pass(r, 0) || shown === pass(r, 1)) ? '' : '1';
    } catch (e) {
        return '';
    }
}

// A page whose script sets the cookie and asks again. It turns the text round: who runs no script does not come by it.
function challenge(r) {
    const turned = pass(r, 0).split('').reverse().join('');
    r.headersOut['Content-Type'] = 'text/html; charset=utf-8';
    r.headersOut['Cache-Control'] = 'no-store';
    r.return(403, '<!doctype html><html lang="en"><title>One moment</title>' +
        '<p>One moment: this page looks whether you use a browser, and goes on by itself.</p>' +
        '<noscript><p>It needs JavaScript and cookies for that.</p></noscript><script>' +
        'var token = "' + turned + '".split("").reverse().join("");' +
        'document.cookie = "st_pass=" + token + "; path=/; max-age=3600; SameSite=Lax";' +
        'if (document.cookie.indexOf(token) >= 0) { location.reload(); }</script></html>');
}

export default { look: look, ask: ask, challenge: challenge };

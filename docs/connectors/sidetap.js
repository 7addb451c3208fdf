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

function times(a, b) {
    const a0 = a[0], a1 = a[1], a2 = a[2], b0 = b[0], b1 = b[1], b2 = b[2];
    const p0 = a0 * b0;
    const p1 = a0 * b1 + a1 * b0 + Math.floor(p0 / 65536);
    const p2 = a0 * b2 + a1 * b1 + a2 * b0 + Math.floor(p1 / 65536);
    const p3 = a0 * b[3] + a1 * b2 + a2 * b1 + a[3] * b0 + Math.floor(p2 / 65536);
    return [p0 % 65536, p1 % 65536, p2 % 65536, p3 % 65536];
}

function xor(a, b) {
    return [a[0] ^ b[0], a[1] ^ b[1], a[2] ^ b[2], a[3] ^ b[3]];
}

// a >> n, for n from 17 to 47.
function right(a, n) {
    const limbs = Math.floor(n / 16), bits = n % 16;
    const out = [0, 0, 0, 0];
    for (let i = 0; i + limbs < 4; i++) {
        const high = i + limbs + 1 < 4 ? a[i + limbs + 1] : 0;
        out[i] = ((a[i + limbs] >> bits) | (high << (16 - bits))) & 0xffff;
    }
    return out;
}

function finish(h) {
    h = xor(h, right(h, 33));
    h = times(h, FIRST);
    h = xor(h, right(h, 33));
    h = times(h, SECOND);
    return xor(h, right(h, 33));
}

function word(h, w) {
    h = times(xor(h, w), GOLDEN);
    return xor(h, right(h, 29));
}

// Bytes one by one, with a byte 0xff after them: times 0x100000001b3, in halves of 32 bits.
function bytes(h, text) {
    const all = Buffer.from(text);
    let low = h[0] + h[1] * 65536, high = h[2] + h[3] * 65536;
    for (let i = 0; i <= all.length; i++) {
        const from = (low ^ (i < all.length ? all[i] : 0xff)) >>> 0;
        const product = from * 0x1b3;
        low = product % 4294967296;
        high = (high * 0x1b3 + Math.floor(product / 4294967296) + from % 16777216 * 256) % 4294967296;
    }
    return [low % 65536, Math.floor(low / 65536), high % 65536, Math.floor(high / 65536)];
}

// Bytes eight at a time, with their number.
function text(h, value) {
    const all = Buffer.from(value);
    const whole = all.length - all.length % 8;
    const limb = (at) => (at < all.length ? all[at] : 0) | (at + 1 < all.length ? all[at + 1] << 8 : 0);
    for (let i = 0; i < whole; i += 8) {
        h = word(h, [limb(i), limb(i + 2), limb(i + 4), limb(i + 6)]);
    }
    const last = [limb(whole), limb(whole + 2), limb(whole + 4), limb(whole + 6)];
    last[3] ^= (all.length % 256) << 8;
    return word(h, last);
}

function hex(h) {
    return [3, 2, 1, 0].map((i) => ('000' + h[i].toString(16)).slice(-4)).join('');
}

// Fields that come and go by request, or that hops add.
const LEFT_OUT = ['sec-fetch-user', 'referer', 'cookie', 'if-none-match', 'if-modified-since', 'if-match', 'if-range',
    'content-length', 'transfer-encoding', 'authorization', 'expect', 'range', 'date', 'traceparent', 'tracestate',
    'x-request-id', 'x-correlation-id', 'x-amzn-trace-id', 'x-b3-traceid', 'x-b3-spanid', 'x-forwarded-for', 'forwarded',
    'x-real-ip', 'true-client-ip', 'cf-connecting-ip', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port', 'via'];

// Fields between two hops, which a balancer takes for itself.
const BETWEEN = ['connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade', 'trailer'];

// What the fingerprints of one request are made of, taken once for all of them.
let taken;

function take(r) {
    const fields = {};
    let order = BASIS, folded = BASIS, size = 0;
    r.rawHeadersIn.forEach((field) => {
        const low = field[0].toLowerCase();
        size += field[0].length + field[1].length;
        fields[low] = field[1];
        if (size <= 4096 && LEFT_OUT.indexOf(low) < 0) {
            order = text(order, field[0]);
            if (BETWEEN.indexOf(low) < 0) {
                folded = text(folded, low.slice(0, 32));
            }
        }
    });
    return { of: r, fields: fields, order: order, folded: folded, size: size };
}

// The name of a fingerprint; nothing where the head is long: that costs time, and is nobody's.
function print(r, compute) {
    if (taken === undefined || taken.of !== r) {
        taken = take(r);
    }
    return taken.size > 4096 ? '' : compute(taken.fields, taken.order, taken.folded);
}

function agent(fields) {
    const h = bytes(bytes(BASIS, fields['user-agent'] || ''), fields['accept-language'] || '');
    return 'a1-' + hex(finish(h));
}

function head(fields, order) {
    let h = BASIS;
    ['accept', 'accept-encoding', 'connection'].forEach((name) => {
        h = text(h, fields[name] === undefined ? '-' : fields[name]);
    });
    h = word(h, finish(order));
    const media = fields['content-type'] === undefined ? '-' : fields['content-type'];
    const shape = finish(text(h, media.split(';')[0]));
    // How a JSON body is spaced goes in too, and bodies are not read here: as if it were written without spaces.
    return 's2-' + hex(finish(word(word(BASIS, shape), [0, 0, 0, 0])));
}

function door(fields, order, folded) {
    const or = (name) => fields[name] === undefined ? '-' : fields[name];
    const h = text(text(folded, or('accept')), or('accept-encoding'));
    return 'd1-' + hex(finish(text(h, or('content-type').split(';')[0])));
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
    function rounds(n) {
        let low, high;
        for (let i = 0; i < n; i++) {
            low = (al >>> 0) + (bl >>> 0); ah = (ah + bh + (low > 4294967295 ? 1 : 0)) | 0; al = low | 0;
            low = (bl << 13 | bh >>> 19) ^ al; bh = (bh << 13 | bl >>> 19) ^ ah; bl = low;
            low = al; al = ah; ah = low;
            low = (cl >>> 0) + (dl >>> 0); ch = (ch + dh + (low > 4294967295 ? 1 : 0)) | 0; cl = low | 0;
            low = (dl << 16 | dh >>> 16) ^ cl; dh = (dh << 16 | dl >>> 16) ^ ch; dl = low;
            low = (al >>> 0) + (dl >>> 0); ah = (ah + dh + (low > 4294967295 ? 1 : 0)) | 0; al = low | 0;
            low = (dl << 21 | dh >>> 11) ^ al; dh = (dh << 21 | dl >>> 11) ^ ah; dl = low;
            low = (cl >>> 0) + (bl >>> 0); ch = (ch + bh + (low > 4294967295 ? 1 : 0)) | 0; cl = low | 0;
            low = (bl << 17 | bh >>> 15) ^ cl; high = (bh << 17 | bl >>> 15) ^ ch; bl = low; bh = high;
            low = cl; cl = ch; ch = low;
        }
    }
    const size = all.length;
    const at = (i) => (i < size ? all[i] : 0);
    const half = (i) => at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24;
    for (let i = 0; i <= size - size % 8; i += 8) {
        const low = half(i), high = half(i + 4) | (i + 8 > size ? size << 24 : 0);
        dl ^= low; dh ^= high; rounds(2); al ^= low; ah ^= high;
    }
    cl ^= 0xee; rounds(4);
    bl ^= 0xdd; rounds(4);
    const word = (w) => ('0000000' + (w >>> 0).toString(16)).slice(-8);
    return word(ah ^ bh ^ ch ^ dh) + word(al ^ bl ^ cl ^ dl);
}

// The keyed hash of a secret, as entries name it; nothing without the site's key.
function hashed(r, domain, value) {
    const given = /^sidetap-key-v1:([0-9a-f]{32})$/.exec(r.variables.st_hash_key || '');
    if (given === null || value === undefined) {
        return '';
    }
    value = value.trim().replace(/^"(.*)"$/, '$1');
    // A JWT is known by its signature.
    const signed = /^eyJ[^.]*\.[^.]*\.([^.]{16,})$/.exec(value);
    const plain = signed === null ? value : signed[1];
    if (value.length < 8 || value.length > 4096) {
        return '';
    }
    const word = (i) => parseInt(given[1].substr(i, 8).replace(/(..)(..)(..)(..)/, '$4$3$2$1'), 16);
    return domain + '-' + siphash([0, 8, 16, 24].map(word), Buffer.from(domain + '\0' + plain));
}

function credential(r) {
    const given = /^(\S+)\s*(.*)$/.exec((r.headersIn['Authorization'] || '').trim());
    return given === null ? undefined : given[2] || given[1];
}

// The session: the cookie that is named in $st_session_cookie, or else the credential.
function session(r) {
    return hashed(r, 'session', r.variables['cookie_' + r.variables.st_session_cookie] || credential(r));
}

// The API key: the header that is named in $st_key_header, or else the credential.
function key(r) {
    return hashed(r, 'api-key', r.headersIn[r.variables.st_key_header] || credential(r));
}

// What a request shows of each kind, as the names of files spell it.
const SHOWN = {
    'a1': (r) => print(r, agent),
    'd1': (r) => print(r, door),
    's2': (r) => print(r, head),
    'header': header,
    'session': session,
    'api-key': key,
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

function exists(path) {
    return fs.statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function lines(path) {
    return exists(path) ? fs.readFileSync(path, 'utf8').split('\n') : [];
}

// The name of the network of a form (`4-24`) that an address is in; nothing where the form is none.
function network(bytes, form) {
    const net = /^([46])-([0-9]{1,3})$/.exec(form);
    return net === null || bytes.length !== (net[1] === '4' ? 4 : 16) ? '' : form + '-' + first(bytes, Number(net[2]));
}

// The name that a request goes by of a kind that there are files of, or nothing.
function name(r, bytes, form) {
    const here = form[0] === '+', kind = here ? form.slice(1) : form;
    if (!has(SHOWN, kind)) {
        return network(bytes, form);
    }
    const shown = SHOWN[kind](r);
    return shown && here ? first(bytes, 128) + '+' + shown : shown;
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

// What a line says of a request, where that is stronger than `best`, or else that. It is `RESPONSE END PLACE …`: END in seconds since 1970 or 0, PLACE a pattern of method,
// host and path or `-`.
function stronger(r, line, now, best) {
    const words = line.split(' '), response = words[0], end = Number(words[1] || 0), place = words[2] || '-';
    if (!has(RANK, response) || best !== '' && RANK[best] >= RANK[response] || end !== 0 && end <= now) {
        return best;
    }
    return place === '-' || new RegExp(place).test(r.method + ',' + r.variables.host + r.variables.uri) ? response : best;
}

// The strongest response that stands for a request, or nothing.
function look(r) {
    try {
        const folder = r.variables.st_entries, now = Date.now() / 1000, bytes = address(r), forms = lines(folder + 'forms');
        let best = '';
        forms.forEach((form) => {
            const file = tried(() => name(r, bytes, form), '');
            (file ? tried(() => lines(folder + file), []) : []).forEach((line) => {
                best = tried(() => stronger(r, line, now, best), best);
            });
        });
        return best !== '' && allowed(bytes, forms, folder) ? '' : best;
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

import crypto from 'crypto';

// Fingerprints of a client, as Sidetap computes them (docs/fingerprints.md), for nginx with njs 0.5 and later:
// `a1` of its agent, `d1` and `s2` of its head. Whatever goes wrong here gives an empty text, and the request goes on.
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

function open(compute) {
    return function (r) {
        try {
            if (taken === undefined || taken.of !== r) {
                taken = take(r);
            }
            // Longer ones cost time, and are nobody's fingerprint.
            return taken.size > 4096 ? '' : compute(taken.fields, taken.order, taken.folded);
        } catch (e) {
            return '';
        }
    };
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

export default { agent: open(agent), head: open(head), door: open(door), ask: ask, challenge: challenge };

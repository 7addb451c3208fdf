// A capture of plain HTTP exchanges, packet by packet, for what no honest client would send.

function sum(bytes) {
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) total += (bytes[at] << 8) + (bytes[at + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}

function packet(from, to, flags, seq, ack, payload) {
  const tcp = Buffer.alloc(20 + payload.length);
  tcp.writeUInt16BE(from.port, 0);
  tcp.writeUInt16BE(to.port, 2);
  tcp.writeUInt32BE(seq >>> 0, 4);
  tcp.writeUInt32BE(ack >>> 0, 8);
  tcp.writeUInt8(5 << 4, 12);
  tcp.writeUInt8(flags, 13);
  tcp.writeUInt16BE(65_535, 14);
  payload.copy(tcp, 20);
  const ends = Buffer.from([...from.ip, ...to.ip]);
  tcp.writeUInt16BE(sum(Buffer.concat([ends, Buffer.from([0, 6, tcp.length >> 8, tcp.length & 0xff]), tcp])), 16);
  const ip = Buffer.alloc(20);
  ip.writeUInt8(0x45, 0);
  ip.writeUInt16BE(20 + tcp.length, 2);
  ip.writeUInt16BE(0x4000, 6);
  ip.writeUInt8(64, 8);
  ip.writeUInt8(6, 9);
  ends.copy(ip, 12);
  ip.writeUInt16BE(sum(ip), 10);
  return Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]), ip, tcp]);
}

const SYN = 2;
const ACK = 16;
const PUSH = 24;
const FIN = 17;

/** A pcap file with one connection for each `{ request, response }`, a tenth of a second apart from `start` (seconds). */
export function capture(exchanges, start) {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65_535, 16);
  head.writeUInt32LE(1, 20);
  const parts = [head];
  exchanges.forEach(({ request, response }, number) => {
    const client = { ip: [203, 0, 113, 7], port: 20_000 + number };
    const server = { ip: [192, 0, 2, 10], port: 80 };
    const [asked, answered] = [Buffer.from(request), Buffer.from(response)];
    const none = Buffer.alloc(0);
    const packets = [
      packet(client, server, SYN, 1000, 0, none),
      packet(server, client, SYN | ACK, 5000, 1001, none),
      packet(client, server, ACK, 1001, 5001, none),
      packet(client, server, PUSH, 1001, 5001, asked),
      packet(server, client, PUSH, 5001, 1001 + asked.length, answered),
      packet(client, server, FIN, 1001 + asked.length, 5001 + answered.length, none),
      packet(server, client, FIN, 5001 + answered.length, 1002 + asked.length, none),
    ];
    packets.forEach((bytes, step) => {
      const micros = number * 100_000 + step * 1_000;
      const record = Buffer.alloc(16);
      record.writeUInt32LE(start + Math.floor(micros / 1e6), 0);
      record.writeUInt32LE(micros % 1e6, 4);
      record.writeUInt32LE(bytes.length, 8);
      record.writeUInt32LE(bytes.length, 12);
      parts.push(record, bytes);
    });
  });
  return Buffer.concat(parts);
}

const SCRIPT = "<img src=x onerror=window.hacked=1>";

/** What a page would run, follow or turn around, wherever traffic can put it. */
export function hostile() {
  const exchanges = [];
  const paths = [`/api/${encodeURIComponent(SCRIPT)}/x`, "/api/\u202egnp.exe\u2066", "/api/<script>window.hacked=1</script>", "/api/javascript:window.hacked=1"];
  for (const path of paths) {
    for (let round = 0; round < 3; round += 1) {
      const body = JSON.stringify({ [SCRIPT]: `"><svg onload=window.hacked=1>`, mail: "nobody@hostile.example" });
      const answer = JSON.stringify({ [`${SCRIPT}answer`]: "\u202etxt", mail: "someone@hostile.example" });
      exchanges.push({
        request: `POST ${path}?${encodeURIComponent(SCRIPT)}=1&q=%3Cscript%3E HTTP/1.1\r\nHost: hostile.example\r\nUser-Agent: "><script>window.hacked=1</script>\u202e\r\nX-Api-Key: <b>key</b>\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
        response: `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(answer)}\r\n\r\n${answer}`,
      });
    }
  }
  // In the names and values of header fields, in cookies, in the account that logs in, in what the answer says of itself.
  for (let round = 0; round < 3; round += 1) {
    const body = JSON.stringify({ username: `${SCRIPT}${round}`, password: "Hidden-1234" });
    const answer = JSON.stringify({ error: SCRIPT });
    exchanges.push({
      request: `POST /login?next=%3Cscript%3Ewindow.hacked=1%3C/script%3E HTTP/1.1\r\nHost: hostile.example\r\nUser-Agent: ${SCRIPT}\r\nX-<img/src=x/onerror=window.hacked=1>: ${SCRIPT}\r\nReferer: javascript:window.hacked=1\r\nCookie: <b>name</b>=<i>value</i>\r\nAuthorization: Basic ${Buffer.from(`${SCRIPT}:Hidden-1234`).toString("base64")}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      response: `HTTP/1.1 401 ${SCRIPT}\r\nContent-Type: application/json\r\nServer: ${SCRIPT}\r\nX-Powered-By: <svg/onload=window.hacked=1>\r\nContent-Length: ${Buffer.byteLength(answer)}\r\n\r\n${answer}`,
    });
  }
  // A host that turns text around and is wider than any screen.
  for (let round = 0; round < 3; round += 1) {
    exchanges.push({
      request: `GET /turned/${round} HTTP/1.1\r\nHost: \u202egnp.${"h".repeat(1000)}.example\r\nUser-Agent: x\r\n\r\n`,
      response: `HTTP/1.1 200 OK\r\nContent-Type: text/\u202elmth\r\nContent-Length: 2\r\n\r\n{}`,
    });
  }
  return exchanges;
}

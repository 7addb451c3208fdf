# What Varnish 6 and later needs so that Sidetap can act through it. `acl.vcl` holds an access list; to begin with: acl sidetap { }
vcl 4.1;

import std;

backend default {
    .host = "127.0.0.1";
    .port = "9000";
}

include "/etc/varnish/sidetap/acl.vcl";

sub vcl_recv {
    # Clients connect themselves: client.ip. Behind a balancer that adds the client's address at the end of X-Forwarded-For it is
    # the last but one there, since Varnish has added the balancer's before this is run:
    if (std.ip(regsub(req.http.X-Forwarded-For, "^(?:.*,)?\s*([^,\s]+)\s*,[^,]*$", "\1"), client.ip) ~ sidetap) {
        return (synth(403));
    }
}

# What Varnish 6 and later needs so that Sidetap can act through it. `acl.vcl` holds an access list; to begin with: acl sidetap { }
# `places.vcl` holds conditions for responses to hosts and endpoints; to begin with: sub sidetap_here { }
vcl 4.1;

import std;

backend default {
    .host = "127.0.0.1";
    .port = "9000";
}

include "/etc/varnish/sidetap/acl.vcl";
include "/etc/varnish/sidetap/places.vcl";

sub vcl_recv {
    # Name the site's hosts here. Conditions that name a host do not hold for any other, and most applications answer it all the same.
    if (req.http.Host !~ "(?i)^(www\.)?shop\.example\.?(:[0-9]*)?$") {
        return (synth(421));
    }
    # A target with a host of its own (`POST https://shop.example/login`), which Varnish hands on as it is: what is behind it goes by that host.
    if (req.url !~ "^(/|\*$)") {
        return (synth(400));
    }
    # Clients connect themselves:
    set req.http.X-Sidetap-Client = client.ip;
    # Behind a balancer that adds the client's address at the end of X-Forwarded-For, and that nobody can go around, in place of that line
    # (Varnish has added the balancer's address before this is run, so the client's is the last but one):
    #set req.http.X-Sidetap-Client = std.ip(regsub(req.http.X-Forwarded-For, "^(?:.*,)?\s*([^,\s]+)\s*,[^,]*$", "\1"), client.ip);
    if (std.ip(req.http.X-Sidetap-Client, client.ip) ~ sidetap) {
        return (synth(403));
    }
    call sidetap_here;
    unset req.http.X-Sidetap-Client;
}

# SPDX-License-Identifier: Apache-2.0
# The portal, with its static files in front: what a web server would do.
use Plack::Builder;
use Lemonldap::NG::Portal::Main;

# Net::Server shuts listening sockets down for everybody when it ends; one that
# was handed over serves its owner's next start.
if ($ENV{LISTEN_FDS}) {
    require Net::Server;
    no warnings 'redefine';
    *Net::Server::shutdown_sockets = sub {
        my $server = shift->{server};
        $_->close for @{ $server->{sock} };
        $server->{sock} = [];
    };
}

my $portal = Lemonldap::NG::Portal::Main->run({});

builder {
    enable 'Static',
      path => qr{^/static/},
      root => '/usr/share/lemonldap-ng/portal/htdocs/';
    $portal;
};

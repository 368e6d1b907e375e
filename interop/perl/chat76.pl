#!/usr/bin/perl

# A pipe over a draft-76 (or draft-75) connection: chat76.pl ws://HOST:PORT/chat [draft75]
# Each line of the standard input is sent as one message; each message received is printed as one line. The end of
# the input begins the closing handshake. Exit status 0 means that the connection ended cleanly by our wish.
# The browser test lets it join the chat, the node test lets it listen to broadcasts.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Hixie;
use IO::Select;

my $url     = shift // die "usage: chat76.pl ws://HOST:PORT/chat [draft75]\n";
my $version = shift // 'draft76';

alarm 120;
$| = 1;

my $client = Hixie->new($version, $url)->open;
my $select = IO::Select->new(\*STDIN, $client->{stream});
my $lines  = '';

while (1) {
    # Bytes that came with the handshake are messages already; afterwards wait for either side.
    while (defined(my $payload = $client->next_payload)) { print "$payload\n" }
    die "the server closed the connection\n" if $client->{eof};
    for my $ready ($select->can_read(1)) {
        if ($ready == $client->{stream}) { $client->read_once(0); next }
        next if sysread STDIN, $lines, 65_536, length $lines;
        say_goodbye($client);
        exit 0;
    }
    $client->send($1) while $lines =~ s/^([^\n]*)\n//;
}

sub say_goodbye {
    my ($client) = @_;
    if   ($version eq 'draft76') { $client->write("\xff\x00") }
    else                         { $client->half_close }
    my $rest = $client->read_to_eof;
    die "D76-X2: no FF 00 before the end of the stream\n" if $version eq 'draft76' && $rest !~ /\xff\x00\z/;
    return;
}

#!/usr/bin/perl

# Draft-75 and draft-76 against the echo server. The client is Debian's libprotocol-websocket-perl; see Hixie.pm.
#
#   echo.pl --echo URL      the server as it is by default
#           --strict URL    with --origin http://good.example --subprotocol echo.v1
#           --modern URL    with --versions rfc6455

use strict;
use warnings;
use FindBin;
use Getopt::Long;
use lib $FindBin::Bin;
use Hixie;

my ($url, $strict, $modern);
GetOptions('echo=s' => \$url, 'strict=s' => \$strict, 'modern=s' => \$modern) && $url && $strict && $modern
  or die "usage: echo.pl --echo URL --strict URL --modern URL\n";
my %good = (origin => 'http://good.example', subprotocol => 'echo.v1');
my $failed = 0;

alarm 120;

for my $version ('draft75', 'draft76') {
    check($version, "the response is exactly the draft's, " . ($version eq 'draft75' ? 'D75-R1 to R5' : 'D76-V1 to V8'),
        sub { connected($version) });
    check($version, 'the resource comes back with its query, ' . ($version eq 'draft75' ? 'D75-R3' : 'D76-R2'),
        sub { Hixie->new($version, "${url}demo?e=mc2")->open });

    for my $size (0, 125, 126, 65_535, 65_536, 1_000_000) {
        check($version, "a message of $size bytes", sub { echoes(connected($version), pattern($size)) });
    }
    check($version, 'emoji and CJK',
        sub { echoes(connected($version), "\xf0\x9f\x91\x8b\xf0\x9f\x8f\xbd \xe4\xbd\xa0\xe5\xa5\xbd \xe3\x81\x93") });
    check($version, 'NUL and control characters inside a message, D75-F2',
        sub { echoes(connected($version), "a\x00b\x01\x7f\r\n") });

    check($version, '200 pipelined messages are answered in order', sub {
        my $client = connected($version);
        $client->write(join '', map { $client->frame("message $_") } 1 .. 200);
        expect($client, "message $_") for 1 .. 200;
    });
    check($version, 'several messages in one write', sub {
        my $client = connected($version);
        my @messages = ('one', '', pattern(300));
        $client->write(join '', map { $client->frame($_) } @messages);
        expect($client, $_) for @messages;
    });
    check($version, 'a message in one-byte writes', sub {
        my $client = connected($version);
        $client->write_bytewise($client->frame("drop \xe2\x82\xac by drop"));
        expect($client, "drop \xe2\x82\xac by drop");
    });
    check($version, 'a handshake in one-byte writes' . ($version eq 'draft76' ? ', key3 too, Q2' : ''), sub {
        my $client = Hixie->new($version, $url);
        $client->write_bytewise($client->{request});
        echoes($client->finish_handshake, 'hello');
    });
    check($version, 'a message in the same write as the handshake, ' . ($version eq 'draft75' ? 'Q4' : 'Q3'), sub {
        my $client = Hixie->new($version, $url);
        $client->write($client->{request} . $client->frame('early'));
        $client->finish_handshake;
        expect($client, 'early');
    });

    my $rule = $version eq 'draft75' ? 'D75' : 'D76';
    check($version, "the accepted origin and subprotocol come back, $rule-R4", sub {
        echoes(Hixie->new($version, $strict, %good)->open, 'hello');
    });
    check($version, 'another origin is refused, ' . ($version eq 'draft75' ? 'X4' : 'D76-S5'), sub {
        refused(Hixie->new($version, $strict, %good, origin => 'http://bad.example'));
    });
    check($version, 'another subprotocol is refused, ' . ($version eq 'draft75' ? 'Q19' : 'D76-S6'), sub {
        refused(Hixie->new($version, $strict, %good, subprotocol => 'other'));
    });
    check($version, 'a server without this version says which it has, §4 row 9', sub {
        my $answer = refused(Hixie->new($version, $modern));
        $answer =~ m{^HTTP/1\.1 4(?:00|26) } or die "the answer is $answer\n";
        $answer =~ /^Sec-WebSocket-Version: .*\b13\b/mi or die "the answer has no Sec-WebSocket-Version: $answer\n";
    });
}

check('draft76', 'the head of the response comes before key3 is sent, Q1', sub {
    my $client = Hixie->new('draft76', $url);
    $client->write($client->request_head);
    my $head = $client->read_head;
    $client->write($client->key3);
    $client->{input} = $head . $client->{input};    # for the checks of the whole
    echoes($client->finish_handshake, 'hello');
});
check('draft76', 'Key1 without Key2 is refused, not taken for draft-75, K7, Q10', sub {
    my $client = Hixie->new('draft76', $url);
    (my $request = $client->{request}) =~ s/Sec-WebSocket-Key2: [^\r]*\r\n//;
    refused($client, $request);
});
check('draft76', 'a clean close: FF 00 both ways, then the end of the stream, D76-X2', sub {
    my $client = connected('draft76');
    echoes($client, 'hello');
    $client->write("\xff\x00");
    is_bytes($client->read_to_eof, "\xff\x00");
});
check('draft76', 'what follows FF 00 is discarded, D76-X2, Q25', sub {
    my $client = connected('draft76');
    $client->write("\xff\x00" . $client->frame('late'));
    is_bytes($client->read_to_eof, "\xff\x00");
});
check('draft75', 'the client closes its half, the server ends the stream, D75-X1', sub {
    my $client = connected('draft75');
    echoes($client, 'hello');
    $client->half_close;
    is_bytes($client->read_to_eof, '');
});

exit($failed ? 1 : 0);

sub connected { my ($version) = @_; return Hixie->new($version, $url)->open }

# Sends the request; returns the answer, which must not be a 101, and after which the server must hang up.
sub refused {
    my ($client, $request) = @_;
    $client->write($request // $client->{request});
    $client->wait_for_head_or_eof;    # to hang up without a word is an answer, too (D76-S10)
    die "the server accepts it\n" if $client->{input} =~ m{^HTTP/1\.1 101 };
    return $client->read_to_eof;
}

sub echoes {
    my ($client, $payload) = @_;
    $client->send($payload);
    return expect($client, $payload);
}

sub expect {
    my ($client, $payload) = @_;
    is_bytes($client->recv, $payload);
    return;
}

sub is_bytes {
    my ($got, $expected) = @_;
    return if $got eq $expected;
    die sprintf "got %d bytes %s, not %d bytes %s\n", length $got, short($got), length $expected, short($expected);
}

sub short { my ($bytes) = @_; return unpack('H*', substr $bytes, 0, 16) . (length $bytes > 16 ? '…' : '') }

# ASCII in which every place looks different, so that lost or swapped bytes show.
sub pattern {
    my ($size) = @_;
    my $text = join ' ', map { $_ * 7 } 0 .. $size / 2;
    return substr $text, 0, $size;
}

sub check {
    my ($version, $name, $body) = @_;
    if (eval { $body->(); 1 }) {
        print "ok - perl $version: $name\n";
    }
    else {
        my $why = $@ =~ s/\s*\n\s*/ /gr;
        print "not ok - perl $version: $name: $why\n";
        $failed = 1;
    }
    return;
}

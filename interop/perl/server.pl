#!/usr/bin/perl

# A server for draft-75, draft-76 and RFC 6455, for our client: the handshake and the frames are Protocol::WebSocket's
# (Debian's libprotocol-websocket-perl), only the TCP stream is ours. One connection after the other. What it has to
# do is written in ../python/servers.py.
#
# What one has to know of Protocol::WebSocket 0.26:
# - It answers draft-75 with the status line of draft-76, and a subprotocol comes before the origin. Browsers of that
#   time compared these bytes and went away, and so does our client (D75-R1). `uncorrected` shows that; for all else we
#   mend both.
# - Its draft-75 says nothing of an end: next_bytes takes FF 00 for a close frame in both drafts.
# - It jumps over anything before the next 0x00, so that is checked here, on the bytes.

use strict;
use warnings;

use Digest::SHA qw(sha1_hex);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Protocol::WebSocket::Frame;
use Protocol::WebSocket::Handshake::Server;
use Socket qw(IPPROTO_TCP TCP_NODELAY);

# The longest that a connection may take, in seconds.
use constant PATIENCE => 15;

$| = 1;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 16, Proto => 'tcp')
  or die "cannot listen: $@\n";
local $SIG{PIPE} = 'IGNORE';
print encode_json({ plain => $listener->sockport }), "\n";

my $select = IO::Select->new($listener, \*STDIN);
while (1) {
    for my $ready ($select->can_read) {
        exit 0 if $ready == \*STDIN;    # it ends with whoever started it
        my $stream = $listener->accept or next;
        $stream->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
        eval {
            local $SIG{ALRM} = sub { die "it takes too long\n" };
            alarm PATIENCE;
            talk($stream);
        };
        print STDERR $@ if $@;
        alarm 0;
        close $stream;
    }
}

sub talk {
    my ($stream) = @_;
    my $input = '';
    fill($stream, \$input) until $input =~ /\r\n\r\n/;
    my ($head) = $input =~ /^(.*?\r\n\r\n)/s;
    my $len = length($head) + ($head =~ /^Sec-WebSocket-Key1:/mi ? 8 : 0);
    fill($stream, \$input) while length $input < $len;

    my $handshake = Protocol::WebSocket::Handshake::Server->new;
    my $request   = substr $input, 0, $len, '';
    $handshake->parse($request) && $handshake->is_done or die 'no handshake: ' . ($handshake->error // '') . "\n";
    my $version = $handshake->version;
    my ($what, $query) = $handshake->req->resource_name =~ m{^/(\w+)(?:\?(.*))?$} or die "no such resource\n";
    my %seen = (
        path       => $handshake->req->resource_name,
        version    => $version,
        headers    => { map { /^([^:]+): (.*)$/ ? (lc $1, $2) : () } split /\r\n/, $head },
        messages   => [],
        pongs      => [],
        closed     => undef,
    );
    # It takes the one subprotocol that drafts can name, and the first that RFC 6455 does.
    if (defined(my $offered = $handshake->req->subprotocol)) {
        $handshake->res->subprotocol($offered =~ /^([^,]+)/);
    }
    my $answer = $handshake->to_string;
    $answer = corrected($answer) if $version eq 'draft-hixie-75' && $what ne 'uncorrected';
    substr($answer, -1) ^= "\x01" if $what eq 'wrong';
    $stream->write($answer);

    my $frames = Protocol::WebSocket::Frame->new(version => $version, max_payload_size => undef);
    my $self   = { stream => $stream, version => $version };
    if ($what eq 'farewell') { frame($self, text => "message $_") for 0 .. 99 }
    if ($what eq 'farewell' || $what eq 'close') { finish($self); $seen{began} = 'server' }
    if ($what eq 'cut') { return report(\%seen, 'cut') }

    while (1) {
        $frames->append($input);
        my $payload;
        while (defined($payload = next_payload($self, $frames))) {
            if ($frames->is_close) {
                finish($self, $payload) unless $seen{began};
                return report(\%seen, 'frame', $payload);
            }
            if ($frames->is_ping) { frame($self, pong => $payload); next }
            my $kind = $frames->is_binary ? 'binary' : 'text';
            push @{ $seen{messages} }, [$kind, length($payload), sha1_hex($payload)];
            frame($self, $kind => $payload);
        }
        return report(\%seen, 'end') unless fill($stream, \$input, 1);
    }
}

# The draft-75 answer as the draft has it.
sub corrected {
    my ($answer) = @_;
    $answer =~ s{^HTTP/1\.1 101 WebSocket Protocol}{HTTP/1.1 101 Web Socket Protocol};
    $answer =~ s{^(WebSocket-Protocol: [^\r]*\r\n)(.*?)\r\n\z}{$2$1\r\n}sm;
    return $answer;
}

sub next_payload {
    my ($self, $frames) = @_;
    if (hixie($self)) {
        $frames->{buffer} =~ /^(?:\x00|\xff\z|\xff\x00|\z)/
          or die sprintf "a frame begins with %s\n", unpack 'H4', $frames->{buffer};
        $frames->opcode(1);    # it does not set that back behind a close frame
    }
    return $frames->next_bytes;
}

# Sends a frame; the payload is bytes.
sub frame {
    my ($self, $kind, $payload) = @_;
    my $frame = Protocol::WebSocket::Frame->new(
        version => $self->{version}, type => $kind, buffer => $payload, max_payload_size => undef);
    $self->{stream}->write($frame->to_bytes);
}

# Sends what this version has to say at the end.
sub finish {
    my ($self, $payload) = @_;
    $payload //= pack('n', 4002) . "so l\xc3\xa4uft es";
    if ($self->{version} eq 'draft-hixie-75') { shutdown $self->{stream}, 1 }
    else                                      { frame($self, close => $payload) }
}

sub hixie { my ($self) = @_; return $self->{version} =~ /^draft-hixie-75$|^draft-ietf-hybi-00$/ }

# Reads what there is; at the end of the stream it dies, or with $may_end returns a false value.
sub fill {
    my ($stream, $input, $may_end) = @_;
    my $count = sysread $stream, $$input, 262_144, length $$input;
    return 1 if $count;
    die "the stream ended\n" unless $may_end;
    return 0;
}

# Prints what was seen of a connection, and how it ended: with a close frame and its payload, or without.
sub report {
    my ($seen, $how, $payload) = @_;
    $payload //= '';
    my ($code, $reason) = length $payload > 1 ? unpack 'n a*', $payload : (undef, '');
    utf8::decode($reason);
    $seen->{closed} = [$code, $reason];
    $seen->{ended}  = $how;
    print JSON::PP->new->ascii->encode($seen), "\n";
}

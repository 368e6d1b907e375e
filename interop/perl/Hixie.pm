package Hixie;

# A blocking client for draft-75 and draft-76 with a deadline on everything: the handshake and the frames are
# Protocol::WebSocket's (Debian's libprotocol-websocket-perl), only the TCP stream is ours.
#
# What one has to know of Protocol::WebSocket 0.26:
# - Its draft-76 request carries `Content-Length: 8` for key3 (PROTOCOL.md §3.1-3).
# - Its Frame takes strings with the UTF-8 flag as text to encode, others as bytes: we hand it bytes only.
# - `max_payload_size` and `max_fragments_amount` do not bind frames of these two drafts, in either direction.
# - next_bytes jumps over anything before the next 0x00, and takes FF 00 for a close frame even in draft-75. The
#   response parser compares next to nothing. What the library forgives is therefore checked here, on the bytes.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR);
use IO::Select;
use IO::Socket::INET;
use Protocol::WebSocket::Frame;
use Protocol::WebSocket::Handshake::Client;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(sleep time);

my %LIBRARY_NAME = (draft75 => 'draft-hixie-75', draft76 => 'draft-ietf-hybi-00');

# The longest that anything may take, in seconds.
use constant PATIENCE => 10;

# Connects, and builds the request without sending it. Options: subprotocol, origin.
sub new {
    my ($class, $version, $url, %options) = @_;

    my ($address) = $url =~ m{^ws://([^/]+)} or die "not a ws:// address: $url\n";
    my $stream = IO::Socket::INET->new(PeerAddr => $address, Proto => 'tcp', Timeout => PATIENCE)
      or die "cannot connect to $address: $@\n";
    $stream->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
    $stream->blocking(0);

    my $handshake = Protocol::WebSocket::Handshake::Client->new(
        url => $url, version => $LIBRARY_NAME{$version} // die "no such version: $version\n");
    $handshake->req->subprotocol($options{subprotocol}) if defined $options{subprotocol};
    my $origin = $options{origin} // "http://$address";
    $handshake->req->origin($origin);

    return bless {
        version   => $version,
        url       => $url,
        origin    => $origin,
        subprotocol => $options{subprotocol},
        stream    => $stream,
        handshake => $handshake,
        request   => $handshake->to_string,    # the keys are drawn here, once
        frames    => Protocol::WebSocket::Frame->new(version => $LIBRARY_NAME{$version}),
        input     => '',                       # bytes received, not yet given to the library
        eof       => 0,
    }, $class;
}

# Opens the connection with one write and all checks.
sub open {
    my ($self) = @_;
    $self->write($self->{request});
    return $self->finish_handshake;
}

# The request head without key3, and key3 alone (empty in draft-75).
sub request_head { my ($self) = @_; return substr $self->{request}, 0, length($self->{request}) - length $self->key3 }
sub key3         { my ($self) = @_; return $self->{version} eq 'draft76' ? substr($self->{request}, -8) : '' }

# Reads the response and checks it as a strict client of the draft does; dies with the rule that was broken.
sub finish_handshake {
    my ($self) = @_;
    my $head = $self->read_head;
    if   ($self->{version} eq 'draft75') { $self->_check_head75($head) }
    else                                 { $self->_check_head76($head) }

    my $handshake = $self->{handshake};
    my $bytes     = $head . $self->{input};
    if ($self->{version} eq 'draft76') {
        $self->_fill_until(sub { length $self->{input} >= 16 }, 'the 16 bytes that answer the keys');
        $bytes = $head . substr $self->{input}, 0, 16, '';
        # For an answer without a match the library only says "Checksum is wrong".
        $handshake->parse($bytes) or die 'D76-V8: ' . $handshake->error . "\n";
    }
    else {
        $handshake->parse($bytes) or die 'D75: ' . $handshake->error . "\n";
        $self->{input} = $bytes;    # what followed the head is frames
    }
    $handshake->is_done or die "the library does not take the handshake for done\n";
    return $self;
}

# Reads up to and with the blank line.
sub read_head {
    my ($self) = @_;
    $self->_fill_until(sub { $self->{input} =~ /\r\n\r\n/ }, 'the response head');
    $self->{input} =~ s/^(.*?\r\n\r\n)//s;
    return $1;
}

sub _check_head75 {
    my ($self, $head) = @_;

    # Browsers of that time compared these bytes, so nothing may come before or between (D75-R1). The draft's
    # client compares the first 85 bytes; the 18 after them are just as invariant.
    my $expected = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
      . "WebSocket-Origin: ";
    substr($head, 0, length $expected) eq $expected or die "D75-R1: the response begins otherwise: $head\n";

    my $fields = _fields($head);
    _one($fields, 'websocket-origin',   lc $self->{origin}, 'D75-R2');
    _one($fields, 'websocket-location', $self->{url},       'D75-R3');
    _one($fields, 'websocket-protocol', $self->{subprotocol}, 'D75-R4') if defined $self->{subprotocol};
    return;
}

sub _check_head76 {
    my ($self, $head) = @_;

    # The reason phrase is free in the draft, but this one passes every client (Q15).
    $head =~ m{^HTTP/1\.1 101 WebSocket Protocol Handshake\r\n} or die "Q15: the status line is otherwise: $head\n";

    my $fields = _fields($head);
    _one($fields, 'upgrade', 'WebSocket', 'D76-V5');
    lc($fields->{connection}[0] // '') eq 'upgrade' or die "D76-V6: Connection is not Upgrade\n";
    _one($fields, 'sec-websocket-origin',   lc $self->{origin}, 'D76-R3');
    _one($fields, 'sec-websocket-location', $self->{url},       'D76-R2');
    _one($fields, 'sec-websocket-protocol', $self->{subprotocol}, 'D76-R4') if defined $self->{subprotocol};
    exists $fields->{'content-length'} and die "D76-R1: there is a Content-Length\n";
    return;
}

sub _fields {
    my ($head) = @_;
    my %fields;
    my (undef, @lines) = split /\r\n/, $head;
    for my $line (@lines) {
        my ($name, $value) = $line =~ /^([!-9;-~]+): ([^\r\n]*)$/ or die "not a header line: $line\n";
        push @{ $fields{ lc $name } }, $value;
    }
    return \%fields;
}

sub _one {
    my ($fields, $name, $value, $rule) = @_;
    my @found = @{ $fields->{$name} // [] };
    @found == 1 && $found[0] eq $value or die "$rule: $name is [@found], not [$value]\n";
    return;
}

# The bytes of one text message, from bytes that are UTF-8.
sub frame {
    my ($self, $payload) = @_;
    return Protocol::WebSocket::Frame->new(version => $LIBRARY_NAME{ $self->{version} }, buffer => $payload)->to_bytes;
}

sub send { my ($self, $payload) = @_; return $self->write($self->frame($payload)) }

# Writes everything, and reads meanwhile, so that two full buffers cannot wait for each other.
sub write {
    my ($self, $bytes) = @_;
    my $deadline = time + PATIENCE;
    my $select   = IO::Select->new($self->{stream});
    while (length $bytes) {
        time < $deadline or die "the server takes no more bytes\n";
        $self->read_once(0);
        $select->can_write(0.1) or next;
        my $count = syswrite $self->{stream}, $bytes, 65536;
        if    (defined $count)                   { substr $bytes, 0, $count, '' }
        elsif ($! != EAGAIN && $! != EINTR)      { die "cannot write: $!\n" }
    }
    return;
}

# Writes byte by byte, each in a segment of its own.
sub write_bytewise {
    my ($self, $bytes) = @_;
    for my $byte (split //, $bytes) {
        $self->write($byte);
        sleep 0.001;
    }
    return;
}

# The payload of the next message; dies when the server closes instead.
sub recv {
    my ($self) = @_;
    my $deadline = time + PATIENCE;
    while (1) {
        my $payload = $self->next_payload;
        return $payload if defined $payload;
        die "the server ended the stream\n" if $self->{eof};
        time < $deadline or die "no message within " . PATIENCE . " s\n";
        $self->read_once(0.1);
    }
}

# The payload of the next message if it is here already, else undef.
sub next_payload {
    my ($self) = @_;

    my $frames = $self->{frames};
    $frames->append($self->{input});    # empties it

    # Here begins a text message or the close frame; anything else the library would jump over in silence.
    $frames->{buffer} =~ /^(?:\x00|\xff\z|\xff\x00|\z)/
      or die sprintf "D76-F1: a frame begins with %s\n", unpack 'H4', $frames->{buffer};
    my $payload = $frames->next_bytes;
    die "the server sent its close frame\n" if defined $payload && $frames->is_close;
    return $payload;
}

# Bytes received until the server ends the stream.
sub read_to_eof {
    my ($self) = @_;
    $self->_fill_until(sub { $self->{eof} }, 'the end of the stream');
    my $rest = $self->{frames}{buffer} . $self->{input};
    $self->{frames}{buffer} = $self->{input} = '';
    return $rest;
}

sub wait_for_head_or_eof {
    my ($self) = @_;
    $self->_fill_until(sub { $self->{eof} || $self->{input} =~ /\r\n\r\n/ }, 'the response head');
    return;
}

sub half_close { my ($self) = @_; shutdown $self->{stream}, 1; return }

sub _fill_until {
    my ($self, $enough, $what) = @_;
    my $deadline = time + PATIENCE;
    until ($enough->()) {
        die "the stream ended before $what\n" if $self->{eof};
        time < $deadline or die "$what did not come within " . PATIENCE . " s\n";
        $self->read_once(0.1);
    }
    return;
}

sub read_once {
    my ($self, $wait) = @_;
    return if $self->{eof} || !IO::Select->new($self->{stream})->can_read($wait);
    my $count = sysread $self->{stream}, $self->{input}, 262_144, length $self->{input};
    if    (!defined $count) { $! == EAGAIN || $! == EINTR or die "cannot read: $!\n" }
    elsif ($count == 0)     { $self->{eof} = 1 }
    return;
}

1;

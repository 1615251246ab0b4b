# Perl's Net::SMPP as an ESME: reads a plan as JSON on standard input, does it, prints what it saw as JSON.
# Plan and result are described in tests/interop/esme_peers.py.
use strict;
use warnings FATAL => 'all';
use IO::Select;
use JSON::PP;
use Net::SMPP;
use Time::HiRes 'time';

$| = 1;
my $plan = decode_json(do { local $/; <STDIN> });
my %result = (answers => [], receipts => [], inbound => []);

my ($smpp, $bound) = Net::SMPP->new_transceiver($plan->{host}, port => $plan->{port},
    system_id => $plan->{system_id}, password => $plan->{password});
die "no connection: $!\n" unless $smpp;
die "no answer to the bind\n" unless $bound;
die 'bind refused: ' . $bound->explain_status . "\n" if $bound->status;
print "bound\n";

my %asked;
for my $message (@{$plan->{messages}}) {
    my $seq = $smpp->submit_sm(async => 1,
        source_addr_ton => 5, source_addr_npi => 0, source_addr => $message->{from},
        dest_addr_ton => 1, dest_addr_npi => 1, destination_addr => $message->{to},
        short_message => $message->{text}, registered_delivery => 1) or die "submit_sm: $!\n";
    $asked{$seq} = $message->{text};
}

my $select = IO::Select->new($smpp);
my $deadline = time + $plan->{seconds};
while (time < $deadline
    and (@{$result{answers}} < @{$plan->{messages}} or @{$result{receipts}} < $plan->{receipts}
        or @{$result{inbound}} < $plan->{inbound})) {
    next unless $select->can_read(0.1);
    my $pdu = $smpp->read_pdu or die "the session ended\n";
    if ($pdu->cmd == Net::SMPP::CMD_submit_sm_resp) {
        # Numbers as numbers: JSON tells them from strings.
        push @{$result{answers}},
            { text => $asked{$pdu->seq}, command_status => $pdu->status + 0, message_id => $pdu->message_id // '' };
    } elsif ($pdu->cmd == Net::SMPP::CMD_deliver_sm) {
        $smpp->deliver_sm_resp(seq => $pdu->seq, message_id => '');
        if (($pdu->{esm_class} & 0x3c) == 0x04) {
            my ($id) = $pdu->{short_message} =~ /\bid:(\S+)/;
            my ($stat) = $pdu->{short_message} =~ /\bstat:(\S+)/;
            push @{$result{receipts}}, { id => $id, stat => $stat };
        } else {
            push @{$result{inbound}}, $pdu->{short_message};
        }
    } elsif ($pdu->cmd == Net::SMPP::CMD_enquire_link) {
        $smpp->enquire_link_resp(seq => $pdu->seq);
    } else {
        die 'unexpected: ' . $pdu->explain_cmd . "\n";
    }
}
my $unbound = $smpp->unbind or die "no answer to the unbind\n";
die 'unbind refused: ' . $unbound->explain_status . "\n" if $unbound->status;
print encode_json(\%result), "\n";

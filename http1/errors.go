package http1

// Error says why a message was refused. Errors are prebuilt and shared: compare by Reason, do not change them.
type Error struct {
	Status int    // what to answer the client: 400, 414, 417, 431, 505; 502 when a server's response was at fault
	Reason string // one word in snake_case, for logs and metrics
}

func (e *Error) Error() string { return "cannot read HTTP/1.1 message: " + e.Reason }

// fault is a reason to refuse, as a small number while the message is being read: the same fault is 400 from a client and 502 from a server.
type fault uint8

const (
	none fault = iota

	emptyLine   // a second empty line before the request line: RFC 9112 section 2.2 asks to skip at least one
	bareLF      // a line that ends without CR: RFC 9112 section 2.2 would let us accept it, other parsers do not
	bareCR      // a CR within a line: RFC 9112 section 2.2
	controlByte // NUL, DEL or another control byte in a line: RFC 9110 section 5.5
	lineTooLong // the request or status line is over the limit: RFC 9110 section 15.5.15

	badMethod    // the method is empty, no token, or not followed by one space: RFC 9112 section 3.1
	badLine      // missing parts, extra spaces or tabs: RFC 9112 section 3
	badTarget    // a target in no form that goes with the method, or with a fragment: RFC 9112 section 3.2
	badVersion   // no HTTP-version, also in lower case: RFC 9112 section 2.3
	otherVersion // an HTTP-version other than 1.0 and 1.1: RFC 9110 section 15.6.6
	badStatus    // a status line without version, space and three digits from 100: RFC 9112 section 4

	obsFold        // a line that starts with a space or a tab: RFC 9112 section 5.2
	colonSpace     // whitespace between name and colon: RFC 9112 section 5.1
	noColon        // a field line without a colon: RFC 9112 section 5
	badName        // an empty field name, or one that is no token: RFC 9110 section 5.1
	headerTooLarge // the field lines are over the limit: RFC 6585 section 5
	tooManyFields  // more fields than the limit: RFC 6585 section 5

	noHost                 // HTTP/1.1 without Host: RFC 9112 section 3.2
	repeatedHost           // more than one Host line: RFC 9112 section 3.2
	badHost                // user information, a comma, a path, a bad port: RFC 9112 section 3.2
	repeatedLength         // more than one Content-Length, also of equal value: RFC 9112 section 6.3
	badLength              // a Content-Length other than digits that fit 63 bits: RFC 9110 section 8.6
	lengthAndEncoding      // Content-Length beside Transfer-Encoding: RFC 9112 section 6.1
	repeatedEncoding       // more than one Transfer-Encoding line: RFC 9112 section 6.1
	badEncoding            // a Transfer-Encoding other than chunked: RFC 9112 section 6.1
	encodingInOldVersion   // Transfer-Encoding in HTTP/1.0: RFC 9112 section 6.1
	badConnection          // a Connection option that is no token: RFC 9110 section 7.6.1
	tooManyNominations     // a bound of ours on the fields that Connection names
	unsupportedExpectation // an Expect other than 100-continue: RFC 9110 section 10.1.1

	badChunkSize          // no or too many hexadecimal digits, or other bytes beside them: RFC 9112 section 7.1
	badChunkEnd           // bytes in the place of a chunk's CRLF: RFC 9112 section 7.1
	chunkExtensionsTooBig // a bound on all extensions of a message: RFC 9112 section 7.1.1
	trailersTooLarge      // a bound on the trailer section: RFC 9112 section 7.1.2
	tooManyTrailers       // likewise

	faults
)

var requestErrors = [faults]Error{
	emptyLine:   {400, "empty_line"},
	bareLF:      {400, "bare_lf"},
	bareCR:      {400, "bare_cr"},
	controlByte: {400, "control_byte"},
	lineTooLong: {414, "line_too_long"},

	badMethod:    {400, "bad_method"},
	badLine:      {400, "bad_request_line"},
	badTarget:    {400, "bad_target"},
	badVersion:   {400, "bad_version"},
	otherVersion: {505, "version"},
	badStatus:    {400, "bad_status_line"},

	obsFold:        {400, "obs_fold"},
	colonSpace:     {400, "space_before_colon"},
	noColon:        {400, "no_colon"},
	badName:        {400, "bad_field_name"},
	headerTooLarge: {431, "header_too_large"},
	tooManyFields:  {431, "too_many_fields"},

	noHost:                 {400, "no_host"},
	repeatedHost:           {400, "repeated_host"},
	badHost:                {400, "bad_host"},
	repeatedLength:         {400, "repeated_content_length"},
	badLength:              {400, "bad_content_length"},
	lengthAndEncoding:      {400, "content_length_and_transfer_encoding"},
	repeatedEncoding:       {400, "repeated_transfer_encoding"},
	badEncoding:            {400, "bad_transfer_encoding"},
	encodingInOldVersion:   {400, "transfer_encoding_in_http_1_0"},
	badConnection:          {400, "bad_connection"},
	tooManyNominations:     {400, "too_many_nominations"},
	unsupportedExpectation: {417, "expectation"},

	badChunkSize:          {400, "bad_chunk_size"},
	badChunkEnd:           {400, "bad_chunk_end"},
	chunkExtensionsTooBig: {400, "chunk_extensions_too_large"},
	trailersTooLarge:      {400, "trailers_too_large"},
	tooManyTrailers:       {400, "too_many_trailers"},
}

// responseErrors are the same reasons, found in what a server sent.
var responseErrors = makeResponseErrors()

func makeResponseErrors() (errs [faults]Error) {
	for f := range errs {
		errs[f] = Error{Status: 502, Reason: requestErrors[f].Reason}
	}
	return errs
}
